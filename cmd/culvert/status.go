package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"culvert/internal/control"
	"culvert/internal/daemon"
)

// redraw is the interval of --watch.
const redraw = time.Second

// status prints every peer and child, once or until it is interrupted.
func status(c *call) error {
	client := c.control()
	asJSON := c.flags.Bool("json", false, "print JSON: docs/control.md describes it")
	watch := c.flags.Bool("watch", false, "redraw every second until interrupted")
	args, err := c.parse(0, 1)
	if err != nil {
		return err
	}
	v := view{client: client(), out: c.stdout, json: *asJSON, terminal: isTerminal(c.stdout)}
	v.colour = v.terminal && os.Getenv("NO_COLOR") == ""
	if len(args) == 1 {
		v.peer = args[0]
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	if !*watch {
		return v.print(ctx, false)
	}
	return v.watch(ctx)
}

// A view determines how the status is shown.
type view struct {
	client   *control.Client
	peer     string
	out      io.Writer
	json     bool
	terminal bool
	colour   bool
}

// watch prints the status at every interval until it is interrupted, which is not an error.
func (v *view) watch(ctx context.Context) error {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		if err := v.print(ctx, true); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

func (v *view) print(ctx context.Context, again bool) error {
	st, err := v.client.Status(ctx, v.peer)
	if err != nil {
		return withGuards(err, daemon.Standing())
	}
	if v.json {
		return v.printJSON(st, again)
	}
	text := render(st, v.peer == "", v.colour, v.width())
	switch {
	case again && v.terminal:
		text = clearScreen + text
	case again:
		text += "\n"
	}
	_, err = io.WriteString(v.out, text)
	return err
}

// withGuards adds the guards that are installed to the error of a daemon that does not answer.
func withGuards(err error, standing []string) error {
	var answered *control.Error
	if len(standing) == 0 || errors.As(err, &answered) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w; %s", err, strings.Join(standing, "; "))
}

// printJSON prints indented JSON once, or one line each time.
func (v *view) printJSON(st *control.Status, line bool) error {
	data, err := json.MarshalIndent(st, "", "  ")
	if line {
		data, err = json.Marshal(st)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(v.out, "%s\n", data)
	return err
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
