package tun

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// repairs counts what others changed and was mended, and logs it, at most once in logEvery.
type repairs struct {
	log                    *slog.Logger
	runtime                string // where daemons keep what they run with: /run
	routes, rules, inFront uint64

	unloggedRoutes, unloggedRules int
	who                           by // of the last change
	next                          time.Time
	named                         map[string]bool // rules in front that were
}

const (
	// logEvery is the time between two lines about repairs.
	logEvery = 10 * time.Second
	// maxNamed bounds what is remembered of rules in front.
	maxNamed = 100
)

// by is the address of the socket by which somebody changed something: often the number of a
// process.
type by uint32

func (p *repairs) mended(routes, rules int) {
	p.routes += uint64(routes)
	p.rules += uint64(rules)
	p.unloggedRoutes += routes
	p.unloggedRules += rules
}

// due returns when there is something to log; zero: never.
func (p *repairs) due() time.Time {
	if p.unloggedRoutes+p.unloggedRules == 0 {
		return time.Time{}
	}
	return p.next
}

// report logs what was mended since the last line, if it is time.
func (p *repairs) report(now time.Time) {
	if p.unloggedRoutes+p.unloggedRules == 0 || now.Before(p.next) {
		return
	}
	attrs := []any{"event", "routing-mended", "rules", p.unloggedRules, "routes", p.unloggedRoutes}
	if name := p.who.name(); name != "" {
		attrs = append(attrs, "perhaps_by", name)
	}
	p.log.Warn("somebody changed culvert's routing rules or routes: they are back in force"+networkd(p.runtime), attrs...)
	p.unloggedRoutes, p.unloggedRules, p.who, p.next = 0, 0, 0, now.Add(logEvery)
}

// before says that a rule of others stands in front of ours. moved: it did.
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
		p.log.Warn("a routing rule of others stood before culvert's, where it could lead protected traffic elsewhere: culvert's were moved before it", "event", "rule-in-front", "rule", k.String())
	default:
		p.log.Warn("a routing rule of others stands before culvert's and can lead protected traffic elsewhere: give it a greater priority (ip rule), or culvert a smaller one ([daemon] rule_priority)", "event", "rule-in-front", "rule", k.String())
	}
}

// networkd names the setting of systemd-networkd, if that runs, by which it leaves the rules and
// routes of others alone.
func networkd(runtime string) string {
	if _, err := os.Stat(filepath.Join(runtime, "systemd/netif")); err != nil {
		return ""
	}
	return " (systemd-networkd removes what it did not make itself: set ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no in networkd.conf)"
}

// name returns the process whose socket has the address, if it seems that one has; many have a
// number of their own, or have ended.
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
