//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/internal/interop"
	"culvert/internal/netlab"
)

// swanRival is strongSwan.
type swanRival struct {
	t *testing.T
	*netlab.Swan
	kernel bool // which carries the packets
}

// version returns the program and its version, and the kernel's in a guest: that carries the
// packets there.
func (s swanRival) version() string {
	return swanVersion(ctl(s.t, s.Swan, "--version", "--daemon"), s.kernel)
}

// swanVersion returns the line with the version in an answer of swanctl, with or without the
// kernel's release, which is in parentheses.
func swanVersion(answer string, kernel bool) string {
	for line := range strings.Lines(answer) {
		if !strings.HasPrefix(line, "strongSwan ") {
			continue // what libraries say
		}
		if program, _, has := strings.Cut(line, " ("); has && !kernel {
			return program
		}
		return strings.TrimSpace(line)
	}
	return ""
}

func TestSwanVersion(t *testing.T) {
	const answer = "opening \"/dev/x\" failed\nstrongSwan 6.0.1 charon-systemd (Linux, 6.12.1, x86_64)\n"
	for kernel, want := range map[bool]string{false: "strongSwan 6.0.1 charon-systemd", true: "strongSwan 6.0.1 charon-systemd (Linux, 6.12.1, x86_64)"} {
		if got := swanVersion(answer, kernel); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func (s swanRival) initiate(child string) {
	s.t.Helper()
	ctl(s.t, s.Swan, "--initiate", "--child", child, "--timeout", "25")
}

func (s swanRival) terminate() {
	s.t.Helper()
	ctl(s.t, s.Swan, "--terminate", "--ike", "culvert")
}

func (s swanRival) connected() bool {
	return strings.Contains(ctl(s.t, s.Swan, "--list-sas"), "culvert:")
}

// startSwan starts strongSwan at right, in one of its forms.
func (s *setting) startSwan(t *testing.T, form func(*netlab.SwanConfig)) rival {
	t.Helper()
	kernel := false
	swan := s.n.swan(t, func(c *netlab.SwanConfig) {
		form(c)
		s.configure(t, c)
		kernel = c.KernelESP
	})
	if s.cell.Feature == interop.Cookies && s.cell.Initiator == interop.Culvert {
		s.halfOpen(t)
	}
	if kernel {
		s.kernelOnFailure(t)
	}
	return swanRival{t, swan, kernel}
}

// configure makes the configuration of strongSwan for the cell.
func (s *setting) configure(t *testing.T, c *netlab.SwanConfig) {
	if s.pki != nil {
		s.pki.swan(t)(c)
	}
	if c.RemoteAddr = s.left; s.cell.Initiator == interop.Culvert {
		c.RemoteAddr = "" // a NAT may give culvert any address
	}
	c.Children = map[string][2]string{}
	for _, p := range s.children {
		local, remote := p.remote, p.local
		if s.cell.Feature == interop.Transport {
			local, remote = "dynamic", "dynamic" // the addresses of IKE
		}
		if p.port != 0 {
			local, remote = fmt.Sprintf("%s[17/%d]", local, p.port), remote+"[17]"
		}
		c.Children[p.name] = [2]string{local, remote}
	}
	if s.ike != nil {
		c.IKE, c.ESP = strings.Join(s.ike, ","), strings.Join(s.esp, ",")
		return
	}
	c.ChildLife, c.Connection = seconds(childHard), "over_time = 60s\n"
	c.Child = "rekey_time = 0s\n" // the hard limit is in force nevertheless
	if s.cell.Rekeys == interop.Them && !s.reauthenticates() {
		c.IKERekey, c.ChildRekey, c.Child = seconds(ikeSoft), seconds(childSoft), ""
	}
	s.configureFeature(c)
}

func (s *setting) configureFeature(c *netlab.SwanConfig) {
	switch s.cell.Feature {
	case interop.Fragments:
		c.Extra = "fragment_size = 576\n"
	case interop.Cookies:
		c.Extra = "cookie_threshold = 1\n"
		if s.cell.Initiator == interop.Them {
			c.IKE = dearProposal
		}
	case interop.PFSByUs:
		c.ESP = "aes128gcm16-x25519,aes128gcm16"
	case interop.PFSByThem:
		c.ESP = "aes128gcm16-ecp256"
	case interop.PFSByBoth:
		c.ESP = "aes128gcm16-x25519"
	case interop.Transport:
		c.Child += "mode = transport\n"
	case interop.Childless:
		if c.ESP = "aes128gcm16-x25519"; s.cell.Initiator == interop.Them {
			c.Connection += "childless = force\n"
		}
	case interop.ReauthWe: // it authenticates again its over_time before the limit that culvert tells
		c.Extra, c.Connection, c.ChildLife, c.Child = "make_before_break = yes\n", fmt.Sprintf("over_time = %s\n", seconds(authLimit/3)), "", ""
	case interop.ReauthThe:
		c.Extra, c.ChildLife, c.Child = "make_before_break = yes\n", "", ""
		c.Connection = fmt.Sprintf("reauth_time = %[1]s\nover_time = %[1]s\nrand_time = 0s\n", seconds(authLimit*2/3))
	}
}

// seconds returns a time as strongSwan reads it.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
