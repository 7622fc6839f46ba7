package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"culvert/internal/guest"
	"culvert/internal/interop"
)

// suite is the Debian whose peers run, and sets its packages: implementations of IKE exclude each
// other.
const suite = "trixie"

var sets = [][]string{
	{"charon-systemd", "strongswan-swanctl", "strongswan-libcharon", "libcharon-extra-plugins", "libstrongswan-extra-plugins", "libstrongswan-standard-plugins"},
	{"libreswan", "libnss3-tools", "openssl"},
	{"openiked"},
}

// guestKernel are the sources of the kernel of guests.
var guestKernel = guest.Debian{Suite: suite, Package: "linux-source"}

// Paths in a guest.
const (
	guestRoot = "/peers"
	guestTest = "/tests/e2e.test"
	guestBin  = "/tests/culvert"
)

// peers gets the system of the peers, if any job needs it.
func (p *programs) peers(ctx context.Context, jobs []job, log io.Writer) (err error) {
	for _, j := range jobs {
		if j.peer.Where != interop.Here && p.root == "" {
			fmt.Fprintln(log, "gets the peers of another Debian")
			if p.root, err = guest.Unpack(ctx, p.cache, suite, sets, log); err != nil {
				return err
			}
		}
		if j.peer.Where == interop.Guest && p.kernel.Image == "" {
			fmt.Fprintln(log, "gets a kernel for guests, or builds it, which takes minutes")
			if p.kernel, err = guest.UserMode(ctx, filepath.Join(filepath.Dir(p.cache), "kernels"), guestKernel, log); err != nil {
				return err
			}
		}
	}
	return nil
}

// guestFiles returns what a guest has: the tests, the tools of networks, and the peers.
func (p *programs) guestFiles() (*guest.Files, error) {
	files := guest.NewFiles()
	for _, name := range []string{"ip", "nft"} {
		if err := files.Program(name); err != nil {
			return nil, err
		}
	}
	err := errors.Join(files.Host(guestTest, p.test), files.Host(guestBin, p.culvert), files.Tree(guestRoot, p.root, inGuest))
	files.Text(guestRoot+"/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n_iked:x:200:200::/var/empty:/bin/false\nnobody:x:65534:65534::/:/bin/false\n")
	files.Text(guestRoot+"/etc/group", 0o644, "root:x:0:\n_iked:x:200:\n")
	files.Folder(guestRoot + "/var/empty")
	return files, err
}

// inGuest reports whether a guest has a file of the peers' system: programs and libraries, but what
// is large and of no use there.
func inGuest(name string) bool {
	for _, not := range []string{"usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/systemd", "usr/include", "var", "tmp/"} {
		if name == not || strings.HasSuffix(not, "/") && strings.HasPrefix(name, not) {
			return false
		}
	}
	return true
}

// boot runs a job in a guest.
func (p *programs) boot(ctx context.Context, j job, out io.Writer) error {
	files, err := p.guestFiles()
	if err != nil {
		return err
	}
	machine := guest.Machine{Kernel: p.kernel, Files: files, Scratch: p.cache}
	status, err := machine.Run(ctx, script(j), out)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	return err
}

// script returns the command of a guest that runs a job.
func script(j job) string {
	var b strings.Builder
	for _, v := range environment(j, guestBin, guestRoot) {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, value)
	}
	fmt.Fprintf(&b, "%s %s\n", guestTest, strings.Join(testFlags, " "))
	return b.String()
}
