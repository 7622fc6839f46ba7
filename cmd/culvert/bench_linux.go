package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"culvert/bench"
)

// benchUsage is the arguments of culvert bench.
const benchUsage = "[ike] [--json FILE] [--svg FILE]"

// runBench measures this program, and the other VPNs that are installed, in network namespaces of
// this machine.
func runBench(c *call) error {
	if len(c.args) > 0 && c.args[0] == "ike" {
		c.args = c.args[1:]
		return runIKEBench(c)
	}
	s := bench.Settings{Rounds: 3, Time: 2 * time.Second}
	s.Register(c.flags)
	cipher := c.flags.String("cipher", "aes128gcm16", "the ESP `proposal` of culvert and strongSwan")
	self, err := c.parseBench(&s)
	if err != nil {
		return err
	}
	ctx, stop := untilEnded(c)
	defer stop()
	return bench.Main(ctx, s, []bench.Subject{
		bench.WireGuardGo{},
		bench.Culvert{Binary: self, UDP: true, Cipher: *cipher},
		bench.Culvert{Binary: self, Cipher: *cipher},
		bench.OpenVPN{},
		bench.StrongSwan{Cipher: *cipher},
		bench.Plain{},
	}, c.stdout, c.stderr)
}

// parseBench parses the arguments into settings, and returns the file of this program, which is
// measured.
func (c *call) parseBench(s interface{ Check() error }) (self string, err error) {
	if _, err := c.parse(0, 0); err != nil {
		return "", err
	}
	if err := s.Check(); err != nil {
		return "", &usageError{err.Error()}
	}
	return os.Executable()
}

// untilEnded returns a context that a signal ends, that of a broken pipe as well: culvert bench |
// head cleans up.
func untilEnded(c *call) (context.Context, func()) {
	ctx, stop := interruptible(c.ctx)
	ctx, stopPipe := signal.NotifyContext(ctx, syscall.SIGPIPE)
	return ctx, func() { stopPipe(); stop() }
}

// runIKEBench measures the handshakes of this program and of strongSwan.
func runIKEBench(c *call) error {
	s := bench.IKESettings{Rounds: 3, Time: 2 * time.Second, Clients: 200}
	s.Register(c.flags)
	self, err := c.parseBench(&s)
	if err != nil {
		return err
	}
	ctx, stop := untilEnded(c)
	defer stop()
	return bench.IKEMain(ctx, s, []bench.IKESubject{bench.CulvertIKE{Binary: self}, bench.SwanIKE{}}, c.stdout, c.stderr)
}
