package tun

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// repairs counts the mended changes of other programs, and logs them at most once in logEvery.
type repairs struct {
	log                    *slog.Logger
	runtime                string // the folder of the state of running daemons: /run
	routes, rules, inFront uint64

	unloggedRoutes, unloggedRules int
	who                           by // of the last change
	next                          time.Time
	named                         map[string]bool // rules in front that were logged
}

const (
	// logEvery is the least time between two log lines about repairs.
	logEvery = 10 * time.Second
	// maxNamed is the greatest number of rules in named.
	maxNamed = 100
)

// by is the netlink address of the socket that made a change: often a process ID.
type by uint32

// mended counts repaired routes and rules.
func (p *repairs) mended(routes, rules int) {
	p.routes += uint64(routes)
	p.rules += uint64(rules)
	p.unloggedRoutes += routes
	p.unloggedRules += rules
}

// due returns the time of the next log line, zero if there is nothing to log.
func (p *repairs) due() time.Time {
	if p.unloggedRoutes+p.unloggedRules == 0 {
		return time.Time{}
	}
	return p.next
}

// report logs the repairs since the last line, if it is time.
func (p *repairs) report(now time.Time) {
	if p.unloggedRoutes+p.unloggedRules == 0 || now.Before(p.next) {
		return
	}
	attrs := []any{"event", "routing-mended", "rules", p.unloggedRules, "routes", p.unloggedRoutes}
	if name := p.who.name(); name != "" {
		attrs = append(attrs, "perhaps_by", name)
	}
	p.log.Warn("another program changed culvert's routing rules or routes: restored them"+networkd(p.runtime), attrs...)
	p.unloggedRoutes, p.unloggedRules, p.who, p.next = 0, 0, 0, now.Add(logEvery)
}

// before counts and logs a rule of another program before ours. With moved, ours were moved before
// it.
func (p *repairs) before(k kernelRule, moved bool) {
	if p.named[k.String()] && !moved {
		return
	}
	if len(p.named) >= maxNamed || p.named == nil {
		p.named = make(map[string]bool)
	}
	again := p.named[k.String()]
	p.named[k.String()] = true
	p.inFront++
	switch {
	case again:
	case moved:
		p.log.Warn("a routing rule of another program came before culvert's and could divert protected traffic: moved culvert's rules before it", "event", "rule-in-front", "rule", k.String())
	default:
		p.log.Warn("a routing rule of another program comes before culvert's and can divert protected traffic: give it a greater priority (ip rule), or set a smaller [daemon] rule_priority", "event", "rule-in-front", "rule", k.String())
	}
}

// networkd returns the remedy if systemd-networkd runs: the settings with which it keeps the rules
// and routes of other programs.
func networkd(runtime string) string {
	if _, err := os.Stat(filepath.Join(runtime, "systemd/netif")); err != nil {
		return ""
	}
	return " (systemd-networkd removes foreign rules and routes: set ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no in networkd.conf)"
}

// name returns the process with this ID, "" if there is none. It is a guess: not every address is a
// process ID, and the process may have ended.
func (b by) name() string {
	if b == 0 {
		return ""
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", b))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(comm)), b)
}
