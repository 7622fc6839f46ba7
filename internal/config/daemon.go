package config

import (
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"culvert/tun/protect"
)

func defaultDaemon() Daemon {
	return Daemon{
		TUN:     "culvert0",
		Control: DefaultControl,
		State:   DefaultState,
		Listen:  []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()},
		IKEPort: 500,
		NATPort: 4500,
		DSCP:    defaultDSCP,
		Log:     slog.LevelInfo,
		MTUMin:  minMTU,
		Mark:    protect.DefaultMark,
	}
}

// Bounds of numbers in [daemon].
const (
	defaultDSCP  = 48 // CS6, network control (RFC 4594, Section 3.2)
	maxDSCP      = 63 // six bits (RFC 2474, Section 3)
	maxWorkers   = 256
	maxSpin      = 10_000 // microseconds: beyond that, a worker that is not to sleep is better told to do something
	minMTU       = 576    // RFC 791: what every IPv4 host must accept
	minMTU6      = 1280   // RFC 8200, Section 5
	leastMTUMin  = 68     // RFC 791: what every IPv4 link must carry
	maxMTU       = 65535  // the largest packet
	maxInterface = 15     // IFNAMSIZ - 1
	maxSocket    = 103    // sun_path of macOS, the shortest, less its end

	firstRouteTable = 256           // those below are named, or the system's
	lastRouteTable  = 2_000_000_000 // there is one for each set of local networks, so that many more follow
	maxRulePriority = 32_700        // a daemon has several rules, which must come before that of the main table, 32766
)

// readDaemon reads [daemon]. There is one in a configuration, and not in an included file.
func (l *loader) readDaemon(root section, top bool) {
	s := root.subtable("daemon", daemonKeys)
	s.where = "daemon: "
	if l.daemon != "" || !top {
		at := l.daemon
		if at == "" {
			at = "the file that includes this one"
		}
		s.fail("", "this table may appear only once, and not in an included file; move its keys to [daemon] in %s", at)
		return
	}
	l.daemon = s.file.name
	d := &l.config.Daemon
	d.TUN = s.deviceName()
	d.Control = s.control(d.Control)
	d.State = s.state(d.State)
	d.KeyLog = s.keyLog()
	d.NoCrashTokens = s.word("crash_tokens", "auto", "off") == 1
	d.Listen = s.listen(d.Listen)
	d.IKEPort = uint16(s.number("ike_port", 500, 1, 65535))
	d.NATPort = uint16(s.number("nat_port", 4500, 1, 65535))
	if d.IKEPort == d.NATPort {
		s.fail("nat_port", "ike_port and nat_port are both %d; use two different ports", d.NATPort)
	}
	d.DSCP = uint8(s.number("ike_dscp", defaultDSCP, 0, maxDSCP))
	d.Workers = int(s.number("workers", 0, 0, maxWorkers))
	d.Spin = time.Duration(s.number("spin_us", 0, 0, maxSpin)) * time.Microsecond
	d.MTU = s.mtu("0 to have it computed")
	d.MTUMin = int(s.number("mtu_min", minMTU, leastMTUMin, maxMTU))
	d.Log = []slog.Level{slog.LevelInfo, slog.LevelError, slog.LevelWarn, slog.LevelDebug}[s.word("log", "info", "error", "warn", "debug")]
	d.JSONLog = s.word("log_format", "text", "json") == 1
	d.Metrics = s.metrics()
	d.Guard = []Guard{GuardAuto, GuardRequire, GuardOff}[s.word("guard", "auto", "require", "off")]
	d.Mark = s.mark()
	d.RouteTable = s.routeTable()
	d.RulePriority = int(s.number("rule_priority", 0, 0, maxRulePriority))
	d.NoOffloads = s.word("offloads", "auto", "none") == 1
	d.NoFastPath = s.word("fast_path", "auto", "off") == 1
	l.top, l.bypass = s, s.networks("bypass")
	d.Bypass = prefixesOf(l.bypass)
	l.include(s)
}

// mtu reads a ceiling. The text none names the value for no ceiling, for errors.
func (s section) mtu(none string) int {
	n := int(s.number("mtu", 0, 0, maxMTU))
	if n != 0 && n < minMTU {
		s.fail("mtu", "mtu = %d is too small; use at least %d, or %s", n, minMTU, none)
	}
	return n
}

func (s section) deviceName() string {
	name := s.text("tun", "culvert0")
	switch {
	case name == "userspace":
		s.fail("tun", "tun = \"userspace\" (no device) is not supported by this version of culvert; use the name of a device, for example \"culvert0\"")
	case name == "" || name == "." || name == ".." || len(name) > maxInterface || strings.ContainsAny(name, "/:% \t\n\r\x00"):
		s.fail("tun", "tun = %q is not a device name; use 1 to %d characters without blanks, '/', ':' or '%%'", name, maxInterface)
	}
	return name
}

func (s section) control(def string) string {
	path := s.text("control", def)
	switch {
	case path == "":
		s.fail("control", "control is empty; give the path of a socket, for example %q", DefaultControl)
	case len(path) > maxSocket:
		s.fail("control", "control is too long for the path of a Unix socket; use at most %d octets", maxSocket)
	case strings.ContainsRune(path, 0):
		s.fail("control", "control = %q is not a path; remove the NUL character", path)
	}
	return path
}

func (s section) state(def string) string {
	path := s.text("state", def)
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		s.fail("state", "state = %q is not the absolute path of a directory; use for example %q", path, DefaultState)
	}
	return path
}

func (s section) keyLog() string {
	path := s.text("key_log", "")
	switch {
	case path == "" && !s.has("key_log"):
		return ""
	case !filepath.IsAbs(path) || strings.ContainsRune(path, 0):
		s.fail("key_log", "key_log = %q is not the absolute path of a folder; use for example \"/var/lib/culvert/keys\", or omit it", path)
	default:
		s.file.warn(s.line("key_log"), "key_log: the keys of all IKE SAs and Child SAs are written to %s, and whoever reads them can decrypt the traffic; remove key_log, and then the folder, when the search for the fault has ended", path)
	}
	return path
}

func (s section) listen(def []netip.Addr) []netip.Addr {
	if !s.has("listen") {
		return def
	}
	var out []netip.Addr
	for _, e := range s.list("listen") {
		a, err := netip.ParseAddr(e.text)
		switch {
		case err != nil:
			s.fail(e.at, "listen: %q is not an IP address; use for example \"192.0.2.1\", or \"0.0.0.0\" and \"::\" for all addresses", e.text)
		case a.Is4In6() || a.Zone() != "" || a.IsMulticast():
			s.fail(e.at, "listen: %s is not an address to listen on; use a unicast IPv4 or IPv6 address without a zone", a)
		case slices.Contains(out, a):
			s.fail(e.at, "listen: %s is listed twice; remove one", a)
		default:
			out = append(out, a)
		}
	}
	if len(s.list("listen")) == 0 {
		s.fail("listen", "listen is empty; list addresses, or omit it to listen on all")
	}
	return out
}

func (s section) metrics() string {
	at := s.text("metrics", "")
	if at == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(at)
	if n, errPort := strconv.ParseUint(port, 10, 16); err != nil || errPort != nil || n == 0 {
		s.fail("metrics", "metrics = %q is not an address and port; use for example \"127.0.0.1:9155\"", at)
	} else if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		s.file.warn(s.line("metrics"), "metrics = %q: whoever reaches any address of this host can read the names and the traffic of all peers; use for example %q", at, "127.0.0.1:"+port)
	}
	return at
}

// listensOn reports whether the daemon receives packets to its address a.
func (d *Daemon) listensOn(a netip.Addr) bool {
	return slices.ContainsFunc(d.Listen, func(l netip.Addr) bool { return l == a || l.IsUnspecified() && l.BitLen() == a.BitLen() })
}
