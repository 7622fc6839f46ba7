package main

import "fmt"

// explain prints the last failed negotiation of a peer in full.
func explain(c *call) error {
	client := c.control()
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	lines, err := client().Explain(ctx, args[0])
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprintln(c.stdout, clean(line))
	}
	return nil
}
