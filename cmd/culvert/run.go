package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"culvert/internal/daemon"
)

// secondWish is how long after the first signal a second one is meant as such.
const secondWish = 500 * time.Millisecond

// run is the daemon. SIGHUP reloads; SIGTERM and SIGINT end it in good order, a second one at once.
func run(c *call) error {
	path := c.config()
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if *path == "" {
		return &usageError{"--config is missing; use --config FILE"}
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	hup, end := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(hup)
	defer signal.Stop(end)
	var release atomic.Bool
	go func() {
		select {
		case s := <-end:
			release.Store(byHand(s, isTerminal(os.Stdin), isTerminal(c.stderr)))
			cancel()
		case <-ctx.Done():
			return
		}
		// One and the same wish may come twice: timeout, and a terminal with sudo, signal the process and its group.
		for first := time.Now(); time.Since(first) < secondWish; {
			<-end
		}
		fmt.Fprintln(c.stderr, "culvert run: second signal, ending immediately")
		os.Exit(exitFailed)
	}()
	return daemon.Run(ctx, daemon.Options{Config: *path, Version: versionText(), Stderr: c.stderr, Reload: hup, Release: release.Load})
}

// byHand reports whether the signal is the end of a daemon that somebody runs at a terminal, to
// try it: then nothing is held back afterwards.
func byHand(s os.Signal, stdin, stderr bool) bool { return s == os.Interrupt && stdin && stderr }

// interruptible is a context that an interrupt from the keyboard ends.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
}
