package main

import (
	"fmt"
	"strings"

	"culvert/internal/control"
)

// act returns the command up, down or rekey, which waits for the outcome and prints it.
func act(a control.Action) func(*call) error {
	return func(c *call) error {
		client, verify, once, alone := c.control(), new(bool), new(bool), new(bool)
		switch a {
		case control.Up:
			alone = c.flags.Bool("ike-only", false, "bring up the IKE SA without its children, and print what was agreed")
			verify = c.flags.Bool("verify", false, "rekey once, and fail with the reason if that is refused")
		case control.Down:
			once = c.flags.Bool("once", false, "close it only: traffic, start = \"boot\" or the peer may bring it up again")
		}
		args, err := c.parse(1, 1)
		if err != nil {
			return err
		}
		peer, child, isChild := strings.Cut(args[0], "/")
		if peer == "" || isChild && child == "" {
			return &usageError{fmt.Sprintf("%q is not a target; use PEER or PEER/CHILD", args[0])}
		}
		if *alone && (isChild || *verify) {
			return &usageError{"--ike-only goes with a peer, without a child and without --verify"}
		}
		ctx, stop := interruptible(c.ctx)
		defer stop()
		text, err := client().Act(ctx, a, control.Target{Peer: peer, Child: child, Verify: *verify, Once: *once, Alone: *alone})
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintln(c.stdout, clean(line))
		}
		return nil
	}
}
