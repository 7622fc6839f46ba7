package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"culvert/bench"
)

// benchUsage is the arguments of culvert bench.
const benchUsage = "[--json FILE] [--svg FILE]"

// runBench measures this program, and the other VPNs that are installed, in network namespaces of
// this machine.
func runBench(c *call) error {
	s := bench.Settings{Rounds: 3, Time: 2 * time.Second}
	s.Register(c.flags)
	cipher := c.flags.String("cipher", "aes128gcm16", "the ESP `proposal` of culvert and strongSwan")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return &usageError{err.Error()}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	ctx, stopPipe := signal.NotifyContext(ctx, syscall.SIGPIPE) // culvert bench | head: clean up as well
	defer stopPipe()
	return bench.Main(ctx, s, []bench.Subject{
		bench.WireGuardGo{},
		bench.Culvert{Binary: self, UDP: true, Cipher: *cipher},
		bench.Culvert{Binary: self, Cipher: *cipher},
		bench.OpenVPN{},
		bench.StrongSwan{Cipher: *cipher},
		bench.Plain{},
	}, c.stdout, c.stderr)
}
