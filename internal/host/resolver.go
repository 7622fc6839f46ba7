package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// upstreamFiles are the files, in the form of resolv.conf, in which stub resolvers list the servers
// that they ask.
var upstreamFiles = []string{
	"run/systemd/resolve/resolv.conf",        // systemd-resolved
	"run/NetworkManager/no-stub-resolv.conf", // NetworkManager, with any resolver
	"run/dnsmasq/resolv.conf",                // resolvconf with dnsmasq
}

// A Stub describes a resolver on this host that asks other servers.
type Stub struct {
	// Found reports whether there is one: /etc/resolv.conf names a loopback address, or no server.
	Found     bool
	Upstreams []netip.Addr // the servers that it asks, as far as known
}

// Resolver returns the stub resolver of this host. root is the folder that holds etc and run.
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

// nameservers returns the servers that a file in the form of resolv.conf(5) names.
func nameservers(file string) []netip.Addr {
	b, _ := os.ReadFile(file) // an absent file names no server
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
