package tun

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"culvert/tun/protect"

	"golang.org/x/sys/unix"
)

// A Router leads protected traffic to a device by its own rules and tables, without a change of the
// main table or of a system setting; plan_rules_linux.go and plan_linux.go describe them. It
// watches the kernel, follows this host's addresses, and undoes changes by other programs. Its
// methods may be called from any goroutine.
type Router struct {
	device string
	link   uint32
	mark   protect.Mark
	errors protect.Mark // of ICMP errors about decrypted packets; zero: none
	table  int          // the first
	fixed  bool         // the priority is the configuration's
	fence  bool
	onHost func()
	log    *slog.Logger

	watch *watcher
	done  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	nl       *conn
	prio     int // of the first rule
	instance int // among the daemons of the namespace
	plan     *plan
	hosts    map[hostAddr]bool // this host's addresses; false: not to be used
	up       bool              // the device is
	stale    []kernelRule      // left by killed daemons; the first Apply replaces them
	closed   bool
	again    retry
	repairs  repairs
}

// NewRouter returns a router without networks, in the calling thread's network namespace. Rules and
// routes of a killed daemon stay until the first Apply, so that its fences hold until they are
// replaced.
func NewRouter(cfg RouteConfig) (*Router, error) {
	if cfg.Mark.Mask == 0 || cfg.Mark.Value&cfg.Mark.Mask == 0 {
		return nil, errors.New("tun: routing needs a firewall mark: without one the tunnels' own packets would be routed into the tunnels")
	}
	r := &Router{
		device: cfg.Device.Name(), link: uint32(cfg.Device.Index()), mark: cfg.Mark, fence: cfg.Fence,
		onHost: cfg.OnHost, log: cfg.Log, hosts: make(map[hostAddr]bool), up: true,
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	mark, ok := cfg.Mark.Errors()
	if ok {
		r.errors = mark
	}
	r.plan = newPlan(cfg.Ports, ok)
	r.plan.passARP = !cfg.Fence // only with a guard, which drops what these rules let pass
	r.repairs.log, r.repairs.runtime = r.log, "/run"
	var err error
	if r.nl, err = dial(); err != nil {
		return nil, err
	}
	if err := r.start(cfg); err != nil {
		r.nl.close()
		return nil, err
	}
	return r, nil
}

func (r *Router) start(cfg RouteConfig) error {
	if err := r.claim(cfg.Table, cfg.Priority); err != nil {
		return err
	}
	var err error
	if r.watch, err = watch(r.nl.port); err != nil { // before the first list, so that no change is missed
		return err
	}
	if err := r.listAddrs(); err != nil {
		r.watch.close()
		return err
	}
	r.done.Go(r.follow)
	return nil
}

// Apply follows a change of the policies. After an error as much as possible is in force, and the
// router tries the rest again by itself. The error is an *Incomplete if the kernel refused a part.
func (r *Router) Apply(c protect.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	var errs []error
	var occupied []int
	grows := false
	for _, g := range c.Groups {
		if !g.New {
			continue
		}
		some, err := r.newTable(g.ID)
		if errs = append(errs, err); some {
			occupied = append(occupied, r.table+g.ID)
		}
		grows = true
	}
	first := len(r.plan.rules) == 0
	e := r.plan.apply(c)
	if grows { // rules of other programs may now take traffic of the new networks
		errs = append(errs, r.takePlace(first))
	}
	errs = append(errs, r.execute(e), r.removeStale(occupied))
	err := errors.Join(errs...)
	if err != nil {
		r.again.logged = essence(err) // by the caller
	}
	return err
}

// takePlace chooses the priority of the first rules, and moves ours before those of other programs.
func (r *Router) takePlace(first bool) error {
	rules, err := r.rules()
	if err != nil {
		return err
	}
	if first && !r.fixed {
		r.prio = cmp.Or(r.choosePriority(rules), 1)
	}
	return r.goInFront(rules)
}

// newTable checks the table of a new group, and reports whether it has routes.
func (r *Router) newTable(id int) (occupied bool, err error) {
	if id >= tablesEach {
		return false, fmt.Errorf("tun: more than %d sets of local networks: give peers the same local networks", tablesEach-1)
	}
	user, n, err := r.userOf(r.table + id)
	if err == nil && user != "" {
		err = fmt.Errorf("tun: routing table %d is in use (%s): choose another with [daemon] route_table", r.table+id, user)
	}
	return n > 0, err
}

// listAddrs lists the host's addresses, and makes the plan and the kernel follow.
func (r *Router) listAddrs() error {
	hosts := make(map[hostAddr]bool)
	ask := func(b []byte) []byte {
		return header(b, unix.RTM_GETADDR, 0, make([]byte, unix.SizeofIfAddrmsg)...)
	}
	err := r.nl.dump(ask, func() { clear(hosts) }, func(m message) {
		if a, usable, ok := parseAddr(m.body); ok {
			hosts[a] = usable
		}
	})
	if err != nil {
		return fmt.Errorf("tun: listing this host's addresses: %w", err)
	}
	r.hosts = hosts
	return r.execute(r.plan.setAddrs(r.usable()))
}

// usable returns the addresses that can be a packet's source beyond its link, sorted, each with the
// prefix length of its network.
func (r *Router) usable() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(r.hosts))
	for a, usable := range r.hosts {
		if p := netip.PrefixFrom(a.addr, a.bits); usable && p.IsValid() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// Counters returns the router's counters, by their names in status and metrics.
func (r *Router) Counters() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return map[string]uint64{
		"route_repairs":  r.repairs.routes,
		"rule_repairs":   r.repairs.rules,
		"rules_in_front": r.repairs.inFront,
	}
}

// Close ends the router. With keepFences its rules and fences stay, if it has fences, so that
// protected networks are unreachable instead of unprotected. Routes to the device go with the
// device, which must be closed next. Close may be called more than once.
func (r *Router) Close(keepFences bool) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	var err error
	if !keepFences || !r.fence {
		err = r.remove()
	}
	r.nl.close()
	r.mu.Unlock()
	r.watch.close()
	r.done.Wait()
	return err
}

// remove removes everything that does not go with the device: first the rules, the mark's as the
// last, and then the routes to which no rule leads any more.
func (r *Router) remove() error {
	var left refusals
	rules := slices.Collect(maps.Keys(r.plan.rules))
	r.plan.rules = make(map[rule]bool)
	e := edit{rules: make(map[rule]bool)}
	for _, k := range rules {
		e.rules[k] = true
	}
	err := r.executeRules(e, &left)
	err = errors.Join(err, r.removeStale(nil))
	var gone []kernelRoute
	tables := []int{0}
	tables = slices.AppendSeq(tables, maps.Keys(r.plan.groups))
	for _, t := range tables {
		r.plan.all(t, func(d dest, h hop) {
			if h.throw {
				gone = append(gone, r.kernelRoute(d, h))
			} else if r.fenced(d, h) {
				gone = append(gone, r.kernelFence(d))
			}
		})
	}
	err = errors.Join(err, r.deleteRoutes(gone, &left))
	return errors.Join(err, left.err(len(rules)+len(gone)))
}

// Table returns the first of the router's tables.
func (r *Router) Table() int { return r.table }

// Forwarding reports whether the host forwards packets, as a gateway for other hosts must (sysctl
// net.ipv4.ip_forward, net.ipv6.conf.all.forwarding). The administrator decides about it.
func Forwarding() (v4, v6 bool) {
	on := func(file string) bool {
		b, err := os.ReadFile("/proc/sys/net/" + file)
		return err == nil && strings.TrimSpace(string(b)) != "0"
	}
	return on("ipv4/ip_forward"), on("ipv6/conf/all/forwarding")
}
