package certificate

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/certtest"
)

func TestRequest(t *testing.T) {
	a, b := certtest.CA(t, "a", "ed25519", nil).Cert, certtest.CA(t, "b", "ed25519", nil).Cert
	x, y := sha1.Sum(a.RawSubjectPublicKeyInfo), sha1.Sum(b.RawSubjectPublicKeyInfo)
	r := request([]*x509.Certificate{a, b})
	if r.Encoding != wire.CertX509Signature || !bytes.Equal(r.Data, append(x[:], y[:]...)) {
		t.Errorf("%v %x", r.Encoding, r.Data)
	}
	many := make([]*x509.Certificate, maxRequested+1)
	for i := range many {
		many[i] = a
	}
	if n := len(request(many).Data); n != maxRequested*sha1.Size {
		t.Errorf("%d octets", n)
	}
	if r := RequestRawKey(); r.Encoding != wire.CertRawPublicKey || len(r.Data) != 0 {
		t.Errorf("%v %x", r.Encoding, r.Data)
	}
}

func TestIsRequested(t *testing.T) {
	for name, tt := range map[string]struct {
		ps   []wire.Payload
		want bool
	}{
		"nothing": {nil, false}, "OCSP": {[]wire.Payload{RequestOCSP(), Announcement()}, false},
		"a raw key": {[]wire.Payload{RequestRawKey()}, true}, "any authority": {[]wire.Payload{request(nil)}, true},
	} {
		if IsRequested(tt.ps) != tt.want {
			t.Errorf("%s: %v", name, !tt.want)
		}
	}
}

func TestWanted(t *testing.T) {
	a, b, c := certtest.CA(t, "a", "ed25519", nil).Cert, certtest.CA(t, "b", "ed25519", nil).Cert, certtest.CA(t, "c", "ed25519", nil).Cert
	w := ParseWanted([]wire.Payload{request([]*x509.Certificate{a}), &wire.Notify{}, request([]*x509.Certificate{b})})
	if w.RawKey || !w.names([]*x509.Certificate{c, b}) || !w.names([]*x509.Certificate{a}) || w.names([]*x509.Certificate{c}) || w.names(nil) {
		t.Errorf("%+v", w)
	}
	other := request([]*x509.Certificate{c})
	other.Encoding = wire.CertHashURLX509
	cut := request([]*x509.Certificate{c})
	cut.Data = cut.Data[:19]
	w = ParseWanted([]wire.Payload{other, cut, RequestRawKey(), &wire.CertReq{}})
	if !w.RawKey || w.OCSP || w.names([]*x509.Certificate{c}) {
		t.Errorf("%+v", w)
	}
	if w = ParseWanted([]wire.Payload{RequestOCSP()}); !w.OCSP || w.RawKey {
		t.Errorf("%+v", w)
	}
}

// CERTREQ payloads for several peers are joined, without repetitions and bounded.
func TestMerge(t *testing.T) {
	var certs []*x509.Certificate
	for range 3 {
		certs = append(certs, certtest.CA(t, "a", "ed25519", nil).Cert)
	}
	got := Merge([]wire.Payload{
		request(certs[:2]), &wire.Notify{Kind: wire.Cookie}, request(certs[1:]), RequestRawKey(), RequestRawKey(),
		&wire.CertReq{Encoding: wire.CertX509Signature, Data: []byte("no hash")},
	})
	if len(got) != 3 || !bytes.Equal(got[0].(*wire.CertReq).Data, request(certs).Data) || got[1].Type() != wire.PayloadNotify || got[2].(*wire.CertReq).Encoding != wire.CertRawPublicKey {
		t.Errorf("%v", got)
	}
	var many []wire.Payload
	for i := range 100 {
		many = append(many, &wire.CertReq{Encoding: wire.CertX509Signature, Data: bytes.Repeat([]byte{byte(i)}, sha1.Size)})
	}
	if got := Merge(many); len(got) != 1 || len(got[0].(*wire.CertReq).Data) != maxRequested*sha1.Size {
		t.Errorf("%v", got)
	}
}
