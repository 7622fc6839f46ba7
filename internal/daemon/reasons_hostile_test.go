package daemon

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"

	"culvert/ike/adversary"
	"culvert/ike/reason"
	"culvert/ike/wire"
	"culvert/internal/certtest"
)

// evil has what must not reach a terminal, a log or a reader as it is.
const evil = "\x1b[2J\x1b]0;owned\x07\r\nlevel=ERROR msg=forged\u202egnp.exe\u2066\u200f\x00\x7f\xff\xfe\u0085\u2028"

// TestReasonsAreHarmless: text of the peer, in identities, certificates and notifies, of any
// length, is escaped and bounded in the log, in the status and in the error of up.
func TestReasonsAreHarmless(t *testing.T) {
	name := func(n int) string { return strings.Repeat(evil, n)[:n] }
	for what, prepare := range map[string]func(r *rogue){
		"identity of the responder": func(r *rogue) { r.ID.Data = []byte(name(1000)) },
		"key ID of the responder":   func(r *rogue) { r.ID = wire.ID{IDType: wire.IDKeyID, Data: []byte(name(60000))} },
		"identity of 64 KiB":        func(r *rogue) { r.ID.Data = []byte(name(64000)) },
		"names in a certificate":    proves(func([]byte) []wire.Payload { return certNamed(name(30000)) }),
		"data of a notify": func(r *rogue) {
			r.edits(adversary.AuthResponse, func([]adversary.Piece) []adversary.Piece {
				return adversary.PiecesOf(&wire.Notify{Kind: 8191, Data: []byte(name(60000))})
			})
		},
		"transforms": func(r *rogue) {
			r.edits(adversary.InitResponse, func(ps []adversary.Piece) []adversary.Piece {
				for i := range ps {
					if ps[i].Type == wire.PayloadSA {
						ps[i].Body[len(ps[i].Body)-1] ^= 0xff
					}
				}
				return ps
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				c := reasonCase{left: wantCert, files: pki(good)}
				left := newEnd(t, leftAddr, "[[peer]]\n"+peerKeys("left", "right", rightAddr).with(c.left).String()+"[[peer.child]]\n"+
					childKeys("10.1.0.0/16", "10.2.0.0/16").String(), c.files(t))
				r := newRogue(t, left)
				prepare(r)
				err := left.up("right", false)
				synctest.Wait()
				if err == nil {
					t.Fatal("it is up")
				}
				harmless(t, "the error of up", record{err.Cause, err.Text, err.Details})
				wantHarmless(t, left)
				left.stop()
			})
		})
	}
}

// TestReasonsOfCallersAreHarmless is TestReasonsAreHarmless for who calls.
func TestReasonsOfCallersAreHarmless(t *testing.T) {
	for what, id := range map[string]wire.ID{
		"name":            {IDType: wire.IDFQDN, Data: []byte(evil)},
		"DN":              {IDType: wire.IDDERDN, Data: distinguished(strings.Repeat(evil, 500))},
		"key ID":          {IDType: wire.IDKeyID, Data: []byte(strings.Repeat(evil, 800))},
		"mail":            {IDType: wire.IDRFC822, Data: []byte(strings.Repeat(evil, 800) + "@" + evil)},
		"an unknown type": {IDType: 77, Data: []byte(strings.Repeat(evil, 800))},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				left := newEnd(t, leftAddr, "[[peer]]\n"+peerKeys("left", "right", rightAddr).String()+"[[peer.child]]\n"+
					childKeys("10.1.0.0/16", "10.2.0.0/16").String(), nil)
				r := newRogue(t, left)
				r.ID = id
				r.send(r.Connect())
				time.Sleep(time.Second)
				synctest.Wait()
				wantHarmless(t, left)
				left.stop()
			})
		})
	}
}

// wantHarmless checks all outputs of a side, of which there must be some.
func wantHarmless(t *testing.T, e *end) {
	t.Helper()
	status, raw := e.status()
	list := append(e.logged(), status...)
	if len(list) < 2 {
		t.Errorf("the log and the status tell nothing: %q", list)
	}
	for _, r := range list {
		harmless(t, "the log or the status", r)
	}
	for _, text := range e.events() {
		harmless(t, "the events", record{"", text, nil})
	}
	lines, err := e.d.Explain(t.Context(), "right")
	if err != nil {
		t.Error(err)
	}
	for _, line := range lines {
		harmless(t, "explain", record{"", "", []string{line}})
	}
	for _, out := range []string{e.log.String(), raw} {
		if strings.Contains(out, theSecret) {
			t.Error("the secret is told")
		}
	}
}

// harmless checks one record.
func harmless(t *testing.T, where string, r record) {
	t.Helper()
	const more = 200 // of what stands in front or behind, as of a child
	for i, s := range append([]string{r.Text}, r.Details...) {
		if bound := []int{reason.MaxText, reason.MaxLine}[min(i, 1)] + more; len(s) > bound {
			t.Errorf("%s: a line of %d octets: %q", where, len(s), s)
		}
		if at := strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }); at >= 0 || strings.ToValidUTF8(s, "?") != s {
			t.Errorf("%s: not escaped at %d: %q", where, at, s)
		}
	}
	if len(r.Details) > reason.MaxLines+1 {
		t.Errorf("%s: %d lines", where, len(r.Details))
	}
}

// distinguished returns a DN with a common name.
func distinguished(name string) []byte {
	c := certtest.Template("")
	c.Subject = pkix.Name{CommonName: strings.ToValidUTF8(name, "")}
	der := certificateOf(c)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return parsed.RawSubject
}

// certNamed returns the payloads of a certificate whose names are text of the peer's choice.
func certNamed(text string) []wire.Payload {
	text = strings.ToValidUTF8(text, "")
	c := certtest.Template("")
	c.Subject = pkix.Name{CommonName: text[:len(text)/2], Organization: []string{evil[:10]}}
	c.DNSNames = []string{"right.example.com"}
	c.NotAfter = day(2024, 1, 1)
	return []wire.Payload{certOf(certificateOf(c)), &wire.Auth{Method: wire.AuthECDSAP256, Data: make([]byte, 64)}}
}

// certificateOf returns a certificate of a template, signed by its own key.
func certificateOf(c *x509.Certificate) []byte {
	der, err := x509.CreateCertificate(rand.Reader, c, c, hostileKey.Public(), hostileKey)
	if err != nil {
		panic(err)
	}
	return der
}

var hostileKey = func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}()
