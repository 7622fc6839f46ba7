// Command culvert is a userspace IPsec VPN: the daemon, and the commands that speak to it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"culvert/internal/config"
	"culvert/internal/control"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitDown   = 3 // of status: something is down that is wanted
)

// A command is one subcommand.
type command struct {
	name, args, help string
	run              func(c *call) error
}

// commands returns the subcommands in the order of the help.
func commands() []command {
	return []command{
		{"run", "[FILE]", "run the daemon in the foreground", run},
		{"check", "[FILE]", "validate a configuration and print every error", check},
		{"status", "[PEER] [-v] [--watch] [--down]", "show the peers, those that need somebody first, and why", status},
		{"up", "PEER[/CHILD] [--verify | --ike-only]", "bring up a peer or child, and check that it can be rekeyed", act(control.Up)},
		{"down", "[--once] PEER[/CHILD]", "take down a peer or child until up, whatever asks for it", act(control.Down)},
		{"rekey", "PEER[/CHILD]", "rekey a peer's IKE SA or a child's SA", act(control.Rekey)},
		{"reload", "[--dry-run] [--force]", "read the configuration again and apply what changed", reload},
		{"explain", "PEER", "explain in full why a peer's last negotiation failed", explain},
		{"guard", "[FILE]", "block traffic that the tunnels will protect, without a daemon", raiseGuard},
		{"release", "[--config FILE | --tun NAME]", "stop blocking the traffic of an ended daemon, and list it", release},
		{"genpsk", "", "print a new pre-shared key", genPSK},
		{"demo", "", "demonstrate two gateways in namespaces of this machine", runDemo},
		{"bench", benchUsage, "measure culvert and other VPNs in namespaces of this machine", runBench},
		{"version", "", "print the version", printVersion},
	}
}

// A call is one invocation of a subcommand.
type call struct {
	ctx            context.Context
	stdout, stderr io.Writer
	flags          *flag.FlagSet
	usage          string   // the arguments, for people
	args           []string // as given; parse takes the flags out
}

// A usageError reports wrong use of a command; the exit status is exitUsage.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func main() { os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// Main runs one subcommand and returns the exit status: 0 done, 1 failed, 2 used wrongly, 3 see
// exitDown. It ends early, as failed, when ctx ends.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		help(stderr)
		return exitUsage
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		if len(args) == 1 {
			help(stdout)
			return exitDone
		}
		args = []string{args[1], "--help"}
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] || "--"+c.name == args[0] && c.name == "version" })
	if i < 0 {
		fmt.Fprintf(stderr, "culvert: there is no command %q%s\n", args[0], meantCommand(args[0]))
		return exitUsage
	}
	cmd := commands()[i]
	c := &call{ctx: ctx, stdout: stdout, stderr: stderr, usage: cmd.args, flags: flag.NewFlagSet(cmd.name, flag.ContinueOnError), args: args[1:]}
	c.flags.SetOutput(io.Discard)
	return exit(cmd, c, cmd.run(c))
}

// meantCommand returns the rest of the error about a command that there is not.
func meantCommand(name string) string {
	var known []string
	for _, c := range commands() {
		known = append(known, c.name)
	}
	if near := config.Nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return "; `culvert help` lists them"
}

// exit prints an error and chooses the status.
func exit(cmd command, c *call, err error) int {
	usage := fmt.Sprintf("usage: %s\n", strings.TrimRight("culvert "+cmd.name+" "+cmd.args, " "))
	var wrong *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(c.stdout, "%s\n%s\n", usage, cmd.help)
		printFlags(c.stdout, c.flags)
		return exitDone
	case errors.Is(err, errDown):
		return exitDown
	case errors.As(err, &wrong):
		fmt.Fprintf(c.stderr, "culvert %s: %s\n%s", cmd.name, wrong.text, usage)
		return exitUsage
	}
	printError(c.stderr, cmd.name, err)
	return exitFailed
}

// printFlags lists the flags of a command.
func printFlags(w io.Writer, flags *flag.FlagSet) {
	flags.VisitAll(func(f *flag.Flag) {
		value, help := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			help += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-18s %s\n", strings.TrimRight("--"+f.Name+" "+value, " "), help)
	})
}

// flagError converts an error of the flag package to a usageError in the words of this program.
func flagError(err error) error {
	text := err.Error()
	for from, to := range map[string]string{"flag provided but not defined: -": "there is no flag --", "flag needs an argument: -": "--"} {
		if rest, ok := strings.CutPrefix(text, from); ok {
			text = to + rest
			if to == "--" {
				text += " needs a value"
			}
			return &usageError{text}
		}
	}
	return &usageError{strings.Replace(text, " -", " --", 1)}
}

// printError prints each error of a configuration as it is, and any other after the command's name.
func printError(w io.Writer, name string, err error) {
	var many config.Errors
	var refused *control.Error
	switch {
	case errors.As(err, &many):
		for _, e := range many {
			fmt.Fprintln(w, clean(e.Error()))
		}
	case errors.As(err, &refused) && len(refused.Errors) > 0:
		for _, line := range append(refused.Errors, refused.Text) {
			fmt.Fprintln(w, clean(line))
		}
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(w, "culvert %s: interrupted\n", name)
	default:
		fmt.Fprintf(w, "culvert %s: %s\n", name, clean(err.Error()))
		if refused != nil {
			for _, line := range refused.Details {
				fmt.Fprintf(w, "  %s\n", clean(line))
			}
		}
	}
}

// parse reads the flags, which may also follow arguments, and returns lo to hi arguments.
func (c *call) parse(lo, hi int) ([]string, error) {
	var args []string
	for rest := c.args; ; {
		if err := c.flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, flagError(err)
		}
		before := rest
		rest = c.flags.Args()
		if len(rest) < len(before) && before[len(before)-len(rest)-1] == "--" {
			args, rest = append(args, rest...), nil
		}
		if len(rest) == 0 {
			break
		}
		args, rest = append(args, rest[0]), rest[1:]
	}
	switch {
	case len(args) < lo:
		return nil, &usageError{"argument missing; use " + c.usage}
	case len(args) > hi:
		return nil, &usageError{fmt.Sprintf("unexpected %q", args[hi])}
	}
	return args, nil
}

// control adds the flag --control. The function that it returns makes the client; it may be called
// only after parse.
func (c *call) control() func() *control.Client {
	path := c.flags.String("control", config.DefaultControl, "the daemon's control `SOCKET`")
	return func() *control.Client { return control.NewClient(*path) }
}

// config adds the flag --config and returns where parse stores its value.
func (c *call) config() *string {
	return c.flags.String("config", "", "the configuration: a `FILE`, or a folder of *.toml files")
}

// defaultConfig is the configuration without --config: a folder.
const defaultConfig = "/etc/culvert"

// configFile parses the command line of a command that needs a configuration, and returns where it
// is: by --config, by an argument, or else by default.
func (c *call) configFile(path *string) (string, error) {
	args, err := c.parse(0, 1)
	switch {
	case err != nil:
		return "", err
	case len(args) == 1 && *path != "":
		return "", &usageError{"FILE and --config exclude each other; use one of them"}
	case len(args) == 1:
		return args[0], nil
	case *path != "":
		return *path, nil
	}
	if _, err := os.Stat(defaultConfig); err != nil {
		return "", &usageError{"there is no configuration: give FILE, or put one into " + defaultConfig}
	}
	return defaultConfig, nil
}

func help(w io.Writer) {
	fmt.Fprint(w, "culvert is a userspace IPsec VPN.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-44s %s\n", strings.TrimRight("culvert "+c.name+" "+c.args, " "), c.help)
	}
	fmt.Fprint(w, "\nculvert help COMMAND shows its flags. Commands that speak to the daemon take\n--control SOCKET. Exit status: 0 done, 1 failed, 2 used wrongly,\n3 (status) something is down that should be up.\n")
}
