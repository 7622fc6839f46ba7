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

// secondWish is the time after the first signal within which further signals count as the same one.
const secondWish = 500 * time.Millisecond

// run runs the daemon. SIGHUP reloads; the first SIGTERM or SIGINT ends it in order, a second one
// immediately.
func run(c *call) error {
	path, err := c.configFile(c.config())
	if err != nil {
		return err
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
		// One request may arrive twice: timeout, and a terminal with sudo, signal both the process
		// and its group.
		for first := time.Now(); time.Since(first) < secondWish; {
			<-end
		}
		fmt.Fprintln(c.stderr, "culvert run: second signal, ending immediately")
		os.Exit(exitFailed)
	}()
	return daemon.Run(ctx, daemon.Options{Config: path, Version: versionText(), Stderr: c.stderr, Reload: hup, Release: release.Load})
}

// byHand reports whether the signal is an interrupt from the terminal at which the daemon was
// started. Such a daemon was started to try it, so it releases its guard when it ends.
func byHand(s os.Signal, stdin, stderr bool) bool { return s == os.Interrupt && stdin && stderr }

// interruptible returns a context that SIGINT and SIGTERM end.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
}
