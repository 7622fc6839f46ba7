//go:build linux

package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/internal/certtest"
	"culvert/internal/control"
	"culvert/internal/netlab"
)

// TestStrongSwanReasons: where a negotiation with strongSwan fails, in either role, the log, the
// status and the error of up have the same words: what failed, and what both sides offered.
func TestStrongSwanReasons(t *testing.T) {
	const (
		refused  = "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: "
		whoKnows = "or it does not expect left.example.com, or is not right.example.com; the other side's log knows which"
		mine     = "ours: left.example.com, by "
	)
	pki := newSwanPKI(t, "p256")
	withRight := func(right *certtest.Pair, ca *certtest.Pair) *swanPKI {
		other := *pki
		other.right, other.rightCA = right, ca
		return &other
	}
	old := certtest.Sign(t, edited("right", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(1, 0, 0) }), certtest.Key(t, "p256"), pki.rightCA)
	strangers := certtest.CA(t, "strangers", "p256", nil)
	for _, tt := range []struct {
		name                  string
		certs                 *swanPKI
		keys                  string
		change                func(*netlab.SwanConfig)
		initiates, responds   string // what the text begins with, or holds behind the caller's address
		initiating, answering []string
	}{
		{name: "wrong PSK", change: func(c *netlab.SwanConfig) { c.PSK = "another" },
			initiates: refused + "the pre-shared keys differ, or it accepts none, " + whoKnows, initiating: []string{mine + "pre-shared key", "expected of the peer: right.example.com"},
			responds: "authentication of right.example.com failed: the pre-shared keys differ; it called left.example.com", answering: []string{"theirs: right.example.com, by pre-shared key, to left.example.com"}},
		{name: "no common IKE proposal", change: func(c *netlab.SwanConfig) { c.IKE = "aes128-sha256-modp4096" }, keys: "ike_proposals = [\"aes256gcm16-prfsha384-x25519\"]\n",
			initiates: "the peer answered NO_PROPOSAL_CHOSEN to IKE_SA_INIT: it accepts none of our IKE proposals", initiating: []string{"ours: aes256gcm16-prfsha384-x25519"},
			responds: "no common IKE proposal: encryption: we have aes256gcm16, they have aes128", answering: []string{"ours: aes256gcm16-prfsha384-x25519", "theirs: aes128-sha256-prfsha256-modp4096"}},
		{name: "networks that do not meet", change: func(c *netlab.SwanConfig) { c.Children = map[string][2]string{"v4": {"10.2.7.0/24", "10.1.7.0/24"}} },
			initiates: "the peer answered TS_UNACCEPTABLE to ", initiating: []string{"ours: local 10.1.0.0/24, remote 10.2.0.0/24"},
			responds: "networks do not meet: the peer's 10.2.7.0/24 has no partner in our remote 10.2.0.0/24", answering: []string{"theirs: local 10.1.7.0/24, remote 10.2.7.0/24"}},
		{name: "expired certificate", certs: withRight(old, pki.rightCA),
			initiates: "authentication of right.example.com failed: the certificate O=Example, CN=right expired at ", initiating: []string{": not accepted"},
			responds: "authentication of right.example.com failed: the certificate O=Example, CN=right expired at ", answering: []string{": not accepted"}},
		{name: "unknown CA", certs: withRight(strangers.Issue(t, "right", "p256", "right.example.com"), strangers),
			initiates: "authentication of right.example.com failed: its certificate O=Example, CN=right is not of an authority in ca: ", initiating: []string{": not accepted", "trusted: O=Example, CN=root"},
			responds: "authentication of right.example.com failed: its certificate O=Example, CN=right is not of an authority in ca: ", answering: []string{": not accepted", "trusted: O=Example, CN=root"}},
	} {
		for _, initiates := range []bool{true, false} {
			name := tt.name + map[bool]string{true: ", culvert initiates", false: ", strongSwan initiates"}[initiates]
			t.Run(name, func(t *testing.T) {
				n := build(t, topology{})
				s := n.swan(t, func(c *netlab.SwanConfig) {
					if tt.certs != nil {
						tt.certs.swan(t)(c)
					}
					if tt.change != nil {
						tt.change(c)
					}
					if !initiates {
						c.RemoteAddr = "192.0.2.1"
					}
				})
				left := newGateway(t, n.left)
				keys := identities("left", "right") + tt.keys
				if tt.certs != nil {
					keys = tt.certs.withCertificates(t, left)
				}
				left.start(peerText("right", "remote = \"192.0.2.2\"\n"+keys, swanChildKeys+"  start = \"never\""))
				text, details := tt.responds, tt.answering
				var up string
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				if initiates {
					text, details = tt.initiates, tt.initiating
					out, err := left.try(ctx, "up", "right")
					if err == nil {
						t.Fatalf("it is up: %s", out)
					}
					up = out
				} else if out, err := s.Ctl(ctx, "--initiate", "--child", "v4", "--timeout", "15"); err == nil {
					t.Fatalf("it is up: %s", out)
				}
				wantReason(t, left, text, details, up)
			})
		}
	}
}

// edited returns the template of the certificate of a side.
func edited(side string, edit func(*x509.Certificate)) *x509.Certificate {
	c := certtest.Template(side, side+".example.com")
	edit(c)
	return c
}

// wantReason waits for a failure in the status, and compares it with the log and the error of up.
func wantReason(t *testing.T, g *gateway, text string, details []string, up string) {
	t.Helper()
	var found *control.Failure
	holds := func(f *control.Failure) bool {
		return f != nil && strings.Contains(f.Text, text) && !slices.ContainsFunc(details, func(want string) bool {
			return !slices.ContainsFunc(f.Details, func(line string) bool { return strings.Contains(line, want) })
		})
	}
	var last string
	for range 50 {
		var st control.Status
		last = g.do("status", "--json")
		if err := json.Unmarshal([]byte(last), &st); err != nil {
			t.Fatal(err)
		}
		list := []*control.Failure{st.Peers[0].Failure, st.Peers[0].RefusedCall, st.Peers[0].Children[0].Failure}
		if i := slices.IndexFunc(list, holds); i >= 0 {
			found = list[i]
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if found == nil {
		t.Fatalf("the status lacks %q with %q:\n%s", text, details, last)
	}
	plain := strings.TrimPrefix(found.Text, "unverified: ")
	log := strings.ReplaceAll(g.proc.Output(), `\"`, `"`)
	for where, out := range map[string]string{"the log": log, "the error of up": up} {
		if where == "the error of up" && up == "" {
			continue
		}
		for _, want := range append([]string{plain}, found.Details...) {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q:\n%s", where, want, out)
			}
		}
	}
	if strings.Contains(log+last+up, psk) || strings.Contains(log+last+up, "PRIVATE KEY") {
		t.Error("a secret is in an output")
	}
}
