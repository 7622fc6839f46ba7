package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/internal/control"
)

func TestCertificateLines(t *testing.T) {
	end := time.Date(2027, 5, 4, 12, 0, 0, 0, time.UTC)
	got := certificateLines([]control.Certificate{
		{Subject: "CN=ca", Use: "ca", Peers: 2, NotAfter: end},
		{Subject: "CN=a", Use: "own", Peers: 1, NotAfter: end.AddDate(-1, 0, 0), Trouble: "the certificate of CN=a expired"},
	})
	if want := []string{"", "certificates:", "  the certificate of CN=a expired", "  CN=ca, ca of 2 peers: valid until 2027-05-04"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := certificateLines(nil); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	var many []control.Certificate
	for i := range maxCertificatesShown + 2 {
		many = append(many, control.Certificate{Subject: fmt.Sprint("CN=", i), NotAfter: end.AddDate(0, 0, -i)})
	}
	got = certificateLines(many)
	if n := len(got); n != maxCertificatesShown+3 || !strings.HasPrefix(got[2], "  CN=11") || got[n-1] != "  and 2 others that are valid for longer" {
		t.Errorf("got %q", got)
	}
}
