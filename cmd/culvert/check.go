package main

import (
	"fmt"

	"culvert/internal/config"
)

// check validates a configuration.
func check(c *call) error {
	path := c.config()
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if *path == "" {
		return &usageError{"which file? write --config FILE"}
	}
	cfg, err := config.Load(*path)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(c.stderr, "warning: %s\n", clean(w.Error()))
	}
	fmt.Fprintf(c.stdout, "ok: %s, %s\n", count(len(cfg.Peers), "peer", "peers"), count(cfg.Children(), "child", "children"))
	return nil
}

// count is "1 peer" or "2 peers".
func count[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
