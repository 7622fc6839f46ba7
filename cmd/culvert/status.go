package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/term"

	"culvert/internal/control"
	"culvert/internal/daemon"
)

// status prints the peers, once or until it is interrupted. It fails without a word, with a status
// of its own, if something is down that is wanted.
func status(c *call) error {
	client := c.control()
	v := view{out: c.stdout, terminal: isTerminal(c.stdout)}
	c.flags.BoolVar(&v.json, "json", false, "print JSON: docs/control.md describes it")
	c.flags.BoolVar(&v.lines, "jsonl", false, "print the JSON of each peer in a line of its own")
	watch := c.flags.Bool("watch", false, "show it every second until interrupted")
	c.flags.BoolVar(&v.all, "v", false, "show every child, address and counter")
	c.flags.BoolVar(&v.show.down, "down", false, "only peers that are down, or have something wrong")
	c.flags.StringVar(&v.show.names, "peer", "", "only peers whose name matches `PATTERN`, such as 'office-*'")
	c.flags.IntVar(&v.show.limit, "limit", 0, "at most `N` peers, those that need somebody first")
	args, err := c.parse(0, 1)
	if err != nil {
		return err
	}
	if _, err := path.Match(v.show.names, ""); err != nil {
		return &usageError{fmt.Sprintf("--peer %q is not a pattern; use for example 'office-*'", v.show.names)}
	}
	v.client = client()
	v.colour = v.terminal && os.Getenv("NO_COLOR") == ""
	if len(args) == 1 {
		v.peer, v.all = args[0], true
		if peer, child, ok := strings.Cut(args[0], "/"); ok && !strings.Contains(peer, "#") {
			return &usageError{fmt.Sprintf("status shows a peer with all its children, not %q alone; use culvert status %s", child, peer)}
		}
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	if *watch {
		return v.watch(ctx)
	}
	text, lacks, err := v.text(ctx, false)
	if err != nil {
		return err
	}
	if _, err = io.WriteString(c.stdout, text); err == nil && lacks {
		return errDown
	}
	return err
}

// errDown reports that something is down that is wanted.
var errDown = errors.New("something is down")

// A view determines how the status is shown.
type view struct {
	client      *control.Client
	peer        string
	show        choice
	out         io.Writer
	json, lines bool
	all         bool // with every detail
	terminal    bool
	colour      bool
}

// text returns the status as it is to be shown, and whether something is down that is wanted. Of
// several each is to follow the other.
func (v *view) text(ctx context.Context, several bool) (text string, lacks bool, err error) {
	st, err := v.client.Status(ctx, v.peer)
	if err != nil {
		return "", false, withGuards(err, daemon.Standing())
	}
	for i := range st.Peers {
		lacks = lacks || lacking(&st.Peers[i])
	}
	if v.json || v.lines || v.all {
		chosen, _ := v.show.of(st.Peers)
		if v.show != (choice{}) {
			st.Peers = values(chosen)
		}
	}
	switch {
	case v.lines:
		text, err = jsonLines(st.Peers)
	case v.json:
		text, err = jsonText(st, several)
	case v.all:
		text = render(st, v.peer == "", v.colour, v.width())
	default:
		text = overview(st, v.show, v.colour, v.width())
	}
	return text, lacks, err
}

func values(peers []*control.Peer) []control.Peer {
	out := make([]control.Peer, len(peers))
	for i, p := range peers {
		out[i] = *p
	}
	return out
}

// withGuards adds the guards that are installed to the error of a daemon that does not answer.
func withGuards(err error, standing []string) error {
	var answered *control.Error
	if len(standing) == 0 || errors.As(err, &answered) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w; %s", err, strings.Join(standing, "; "))
}

// jsonText returns indented JSON, or a single line.
func jsonText(st *control.Status, line bool) (string, error) {
	data, err := json.MarshalIndent(st, "", "  ")
	if line {
		data, err = json.Marshal(st)
	}
	return string(data) + "\n", err
}

// jsonLines returns the JSON of each peer in a line.
func jsonLines(peers []control.Peer) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for i := range peers {
		if err := enc.Encode(&peers[i]); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// width returns the columns of the terminal, which may change, or else the value of COLUMNS; 0 if
// neither is known.
func (v *view) width() int {
	if f, ok := v.out.(*os.File); ok && v.terminal {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	width, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil {
		return 0
	}
	return width
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
