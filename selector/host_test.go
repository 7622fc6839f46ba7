package selector

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func selectorsIn(t *testing.T, text string) []Selector {
	t.Helper()
	if text == "" {
		return nil
	}
	return mustParseAll(t, strings.Split(text, ", ")...)
}

func TestHost(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":                               "192.0.2.1",
		"192.0.2.1 tcp/80, 192.0.2.1 udp/53":      "192.0.2.1",
		"2001:db8::1 gre":                         "2001:db8::1",
		"192.0.2.1, 192.0.2.2":                    "",
		"192.0.2.0/31":                            "",
		"192.0.2.1 tcp/80, 192.0.2.1-192.0.2.2":   "",
		"192.0.2.1-192.0.2.2, 192.0.2.1 tcp/8080": "",
		"": "",
	} {
		a, ok := Host(selectorsIn(t, text))
		if ok != (want != "") || ok && a != netip.MustParseAddr(want) {
			t.Errorf("%q: %v, %v", text, a, ok)
		}
	}
}

func TestAt(t *testing.T) {
	in := selectorsIn(t, "10.0.0.2 udp/1701, 10.0.0.2 gre")
	got, want := At(in, netip.MustParseAddr("2001:db8::7")), selectorsIn(t, "2001:db8::7 udp/1701, 2001:db8::7 gre")
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.Equal(in, selectorsIn(t, "10.0.0.2 udp/1701, 10.0.0.2 gre")) {
		t.Errorf("the list became %v", in)
	}
}
