package main

import "culvert/internal/demo"

// runDemo shows two gateways in namespaces of this machine.
func runDemo(c *call) error {
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	return demo.Run(ctx, c.stdout)
}
