package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"culvert/internal/netlab"
)

// StrongSwan is the strongSwan on the PATH with its userspace ESP, the plugin kernel-libipsec.
type StrongSwan struct{ Cipher string }

// Name returns the subject's name.
func (StrongSwan) Name() string { return "strongSwan, kernel-libipsec" }

// libipsec are the places of the plugin in the distributions. The star of the second is Debian's
// multi-architecture folder.
var libipsec = []string{"/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so", "/usr/lib/*/ipsec/plugins/libstrongswan-kernel-libipsec.so", "/usr/lib*/strongswan/plugins/libstrongswan-kernel-libipsec.so"}

// Version returns swanctl's version and the cipher.
func (w StrongSwan) Version(ctx context.Context) (string, error) {
	if err := netlab.SwanAvailable(); err != nil {
		return "", err
	}
	found := false
	for _, pattern := range libipsec {
		files, err := filepath.Glob(pattern)
		found = found || err == nil && len(files) > 0
	}
	if !found {
		return "", errors.New("the plugin kernel-libipsec is not installed (Debian: apt-get install libcharon-extra-plugins)")
	}
	version, err := firstLine(ctx, "swanctl", "--help") // --version would ask a daemon
	return version + "; " + w.Cipher, err
}

// Start starts both ends and has the left one initiate.
func (w StrongSwan) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	var procs []*netlab.Process
	var left *netlab.Swan
	for _, g := range []struct {
		host                       *netlab.Host
		me, peer, remote, lan, far string
	}{
		{s.Right, "right", "left", "", rightNet, leftNet},
		{s.Left, "left", "right", "192.0.2.2", leftNet, rightNet},
	} {
		dir := filepath.Join(s.Dir, g.me)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return procs, err
		}
		swan, err := g.host.Swan(dir, netlab.SwanConfig{RemoteAddr: g.remote, LocalID: g.me + ".example", RemoteID: g.peer + ".example", PSK: "a benchmark's secret",
			ESP: w.Cipher, Children: map[string][2]string{"net": {g.lan, g.far}}})
		if err != nil {
			return procs, err
		}
		procs, left = append(procs, swan.Process()), swan
	}
	if out, err := left.Ctl(ctx, "--initiate", "--child", "net", "--timeout", "10"); err != nil {
		return procs, fmt.Errorf("%w\n%s\n%s", err, out, left.Log())
	}
	return procs, nil
}
