package certificate

import (
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"culvert/internal/certtest"
)

// remembered reports whether a Trust knows the chain of what was sent.
func remembered(t *Trust, s *Sent, at time.Time) bool {
	return t.verified.find(digestOf(s), s, t.cas, at) != nil
}

// TestVerifiedIsRemembered: the chain of what was sent before is the same without verification,
// while all of it is valid; anything else that is sent is verified.
func TestVerifiedIsRemembered(t *testing.T) {
	top, last := now.Add(-time.Hour), now.Add(time.Hour)
	root := certtest.CA(t, "root", "p256", nil, certtest.Validity(now.Add(-3*time.Hour), now.Add(3*time.Hour)))
	upper := certtest.CA(t, "upper", "p256", root, certtest.Validity(top, now.Add(2*time.Hour)))
	lower := certtest.CA(t, "lower", "p256", upper, certtest.Validity(now.Add(-2*time.Hour), last))
	leaf := lower.Issue(t, "leaf", "p256")
	stranger := certtest.CA(t, "stranger", "p256", nil)
	trust := NewTrust([]*x509.Certificate{stranger.Cert, root.Cert})
	sent := mustParse(t, leaf.Cert, upper.Cert, lower.Cert)
	if remembered(trust, sent, now) {
		t.Fatal("it knows a chain that it has not seen")
	}
	first, err := trust.Verify(sent, now)
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, leaf.Cert, upper.Cert, lower.Cert)
	got := trust.verified.find(digestOf(again), again, trust.cas, now)
	if !slices.EqualFunc(got, first, (*x509.Certificate).Equal) || len(got) != 4 {
		t.Errorf("the chain is %v, and was %v", subjects(got), subjects(first))
	}
	if got, err := trust.Verify(again, now); err != nil || got[0] != again.Leaf || got[1] != again.Intermediates[1] {
		t.Errorf("the chain has other certificates than those that were sent: %v, %v", subjects(got), err)
	}
	for at, want := range map[time.Time]bool{top: true, top.Add(-1): false, last: true, last.Add(time.Second): false} {
		if got := remembered(trust, again, at); got != want {
			t.Errorf("known at %s: %t, want %t", at, got, want)
		}
	}
	if _, err := trust.Verify(again, last.Add(time.Second)); err == nil {
		t.Error("an intermediate certificate that has expired is accepted from memory")
	}
	for name, other := range map[string]*Sent{
		"another leaf":          mustParse(t, lower.Issue(t, "leaf", "p256").Cert, upper.Cert, lower.Cert),
		"less":                  mustParse(t, leaf.Cert, lower.Cert),
		"more":                  mustParse(t, leaf.Cert, upper.Cert, lower.Cert, stranger.Cert),
		"in another order":      mustParse(t, leaf.Cert, lower.Cert, upper.Cert),
		"another leaf's fellow": mustParse(t, upper.Cert, leaf.Cert, lower.Cert),
	} {
		if remembered(trust, other, now) {
			t.Errorf("%s counts as what was sent before", name)
		}
	}
	if trust := NewTrust([]*x509.Certificate{root.Cert}); remembered(trust, again, now) {
		t.Error("another trust knows the chain")
	}
}

// TestRefusedIsNotRemembered: what does not verify is not known afterwards.
func TestRefusedIsNotRemembered(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	same := certtest.CA(t, "root", "p256", nil) // another key under the same name
	named := certtest.CA(t, "named", "p256", root, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.com"} })
	trust := NewTrust([]*x509.Certificate{root.Cert})
	for name, sent := range map[string]*Sent{
		"another key": mustParse(t, same.Issue(t, "leaf", "p256").Cert),
		"constraints": mustParse(t, named.Issue(t, "leaf", "p256", "left.example.org").Cert, named.Cert),
	} {
		if _, err := trust.Verify(sent, now); err == nil || remembered(trust, sent, now) || len(trust.verified.known) != 0 {
			t.Errorf("%s: %v, and %d are known", name, err, len(trust.verified.known))
		}
	}
}

// TestVerifiedIsBounded: the oldest chains go, and one that is verified again takes no room.
func TestVerifiedIsBounded(t *testing.T) {
	root := certtest.CA(t, "root", "p256", nil)
	leaf := root.Issue(t, "leaf", "p256")
	cas, sent, chain := []*x509.Certificate{root.Cert}, &Sent{Leaf: leaf.Cert}, []*x509.Certificate{leaf.Cert, root.Cert}
	var v verified
	number := func(i int) (d digest) {
		copy(d[:], fmt.Sprint(i))
		return d
	}
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := range maxVerified {
				v.add(number(i), sent, cas, chain)
				v.find(number(i), sent, cas, now)
			}
		})
	}
	workers.Wait()
	if len(v.known) != maxVerified || len(v.order) != maxVerified {
		t.Fatalf("%d chains are known and %d listed after %d, each twice", len(v.known), len(v.order), maxVerified)
	}
	oldest := v.order[:10:10]
	oldest = slices.Clone(oldest)
	for i := range 10 {
		v.add(number(maxVerified+i), sent, cas, chain)
	}
	for i, d := range oldest {
		if v.find(d, sent, cas, now) != nil || v.find(number(maxVerified+i), sent, cas, now) == nil {
			t.Errorf("the new chain %d has not replaced the oldest one", i)
		}
	}
	if len(v.known) != maxVerified || len(v.order) != maxVerified {
		t.Errorf("%d chains are known and %d listed", len(v.known), len(v.order))
	}
}

// BenchmarkVerify verifies a leaf by an intermediate certificate: for the first time, and again.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []string{"rsa3072", "p256"} {
		root := certtest.CA(b, "root", kind, nil)
		middle := certtest.CA(b, "middle", kind, root)
		leaf := middle.Issue(b, "leaf", kind)
		sent, err := ParseSent(certPayloads(leaf.Cert, middle.Cert))
		if err != nil {
			b.Fatal(err)
		}
		for _, again := range []bool{false, true} {
			b.Run(kind+map[bool]string{false: "/first", true: "/again"}[again], func(b *testing.B) {
				trust := NewTrust([]*x509.Certificate{root.Cert})
				for b.Loop() {
					if !again {
						trust.verified = verified{}
					}
					if _, err := trust.Verify(sent, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
