package main

import (
	"fmt"
)

// reload makes the daemon read its files again and prints the changes.
func reload(c *call) error {
	client := c.control()
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	ctx, stop := interruptible(c.ctx)
	defer stop()
	changes, err := client().Reload(ctx)
	if err != nil {
		return err
	}
	for _, w := range changes.Warnings {
		fmt.Fprintf(c.stderr, "warning: %s\n", clean(w))
	}
	for _, line := range changes.Changes {
		fmt.Fprintln(c.stdout, clean(line))
	}
	if len(changes.Changes) == 0 {
		fmt.Fprintln(c.stdout, "nothing changed")
	}
	return nil
}
