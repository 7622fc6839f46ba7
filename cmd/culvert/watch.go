package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// redraw is the interval of --watch.
const redraw = time.Second

// Escapes of a terminal. The alternate screen keeps what was there before, and its scroll-back.
const (
	openScreen  = "\x1b[?1049h\x1b[?25l"
	closeScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// watch shows the status at every interval until it is interrupted, which is not an error. A daemon
// that has answered once may be away for a while, as when it is started again.
func (v *view) watch(ctx context.Context) error {
	if v.terminal {
		_, _ = io.WriteString(v.out, openScreen)
		defer io.WriteString(v.out, closeScreen)
	}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for first := true; ; first = false {
		text, _, err := v.text(ctx, true)
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil && first:
			return err
		case err != nil:
			text = clean(err.Error()) + "; it is asked again\n"
		}
		if err := v.draw(text); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// draw writes a text in place of the last one, or where there is no terminal below it. On a
// terminal what does not fit is left out.
func (v *view) draw(text string) error {
	if !v.terminal || v.json || v.lines {
		if !v.json && !v.lines {
			text += "\n"
		}
		_, err := io.WriteString(v.out, text)
		return err
	}
	var b strings.Builder
	b.WriteString(home)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := v.height() - 1; most > 1 && len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("... %s below", count(len(lines)-most+1, "line", "lines")))
	}
	for _, line := range lines {
		b.WriteString(line + restOfLine + "\r\n")
	}
	b.WriteString(restBelow)
	_, err := io.WriteString(v.out, b.String())
	return err
}

// height returns the lines of the terminal; 0 if they are not known.
func (v *view) height() int {
	if f, ok := v.out.(*os.File); ok && v.terminal {
		if _, height, err := term.GetSize(int(f.Fd())); err == nil {
			return height
		}
	}
	return 0
}
