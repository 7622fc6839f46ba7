package main

import (
	"fmt"
	"time"

	"culvert/internal/config"
	"culvert/internal/host"
)

// check validates a configuration. Unless it is for another host, check also compares it with this
// one and prints warnings.
func check(c *call) error {
	flag := c.config()
	elsewhere := c.flags.Bool("elsewhere", false, "the configuration is for another host: do not compare it with this one")
	path, err := c.configFile(flag)
	if err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	var errs config.Errors
	warnings := cfg.Warnings
	for _, t := range cfg.Troubles(time.Now()) {
		if t.Fatal {
			errs = append(errs, t.Error)
		} else {
			warnings = append(warnings, t.Error)
		}
	}
	if !*elsewhere {
		warnings = append(warnings, cfg.Advise(host.Read("/"))...)
	}
	for _, w := range warnings {
		fmt.Fprintf(c.stderr, "warning: %s\n", clean(w.Error()))
	}
	if len(errs) > 0 {
		return errs
	}
	fmt.Fprintf(c.stdout, "ok: %s, %s\n", count(len(cfg.Peers), "peer", "peers"), count(cfg.Children(), "child", "children"))
	return nil
}

// count returns a number with its noun, such as "1 peer" or "2 peers".
func count[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
