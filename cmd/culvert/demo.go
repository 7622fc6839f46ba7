package main

import (
	"os/signal"
	"syscall"

	"culvert/internal/demo"
)

// runDemo demonstrates two gateways in network namespaces of this machine. It cleans up after
// itself even if the reader of its output goes away (culvert demo | head).
func runDemo(c *call) error {
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	ctx, stopPipe := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stopPipe()
	return demo.Run(ctx, c.stdout)
}
