package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// upstreamFiles are where stub resolvers write whom they ask, in the form of resolv.conf.
var upstreamFiles = []string{
	"run/systemd/resolve/resolv.conf",        // systemd-resolved
	"run/NetworkManager/no-stub-resolv.conf", // NetworkManager, whatever it runs
	"run/dnsmasq/resolv.conf",                // resolvconf with dnsmasq
}

// Stub tells of a resolver on this host that asks others.
type Stub struct {
	// Found is whether there is one: /etc/resolv.conf names a loopback address, or nobody.
	Found     bool
	Upstreams []netip.Addr // whom it asks, as far as that can be told
}

// Resolver reads how names are resolved here; the files are looked for below root.
func Resolver(root string) Stub {
	var s Stub
	asked := nameservers(filepath.Join(root, "etc/resolv.conf"))
	s.Found = len(asked) == 0 || slices.ContainsFunc(asked, netip.Addr.IsLoopback)
	if !s.Found {
		return s
	}
	for _, file := range upstreamFiles {
		for _, a := range nameservers(filepath.Join(root, file)) {
			if !a.IsLoopback() && !slices.Contains(s.Upstreams, a) {
				s.Upstreams = append(s.Upstreams, a)
			}
		}
	}
	return s
}

// nameservers reads the servers of a file in the form of resolv.conf(5).
func nameservers(file string) []netip.Addr {
	b, _ := os.ReadFile(file) // one that is absent names nobody
	var out []netip.Addr
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, a.WithZone("").Unmap())
		}
	}
	return out
}
