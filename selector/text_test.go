package selector

import (
	"strings"
	"testing"
)

func mustParse(t testing.TB, text string) Selector {
	t.Helper()
	s, err := ParseSelector(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustParseAll(t testing.TB, texts ...string) []Selector {
	t.Helper()
	var list []Selector
	for _, text := range texts {
		list = append(list, mustParse(t, text))
	}
	return list
}

func TestParseSelector(t *testing.T) {
	for _, c := range []struct{ text, canonical string }{
		{"10.1.0.0/16", "10.1.0.0/16"},
		{" 10.1.0.0/16 ", "10.1.0.0/16"},
		{"10.3.0.7", "10.3.0.7/32"},
		{"2001:db8::7", "2001:db8::7/128"},
		{"10.3.0.7/32 tcp/443", "10.3.0.7/32 tcp/443"},
		{"10.4.0.1-10.4.0.77 udp/1024-2047", "10.4.0.1-10.4.0.77 udp/1024-2047"},
		{"10.4.0.0-10.4.0.255", "10.4.0.0/24"},
		{"0.0.0.0-255.255.255.255", "0.0.0.0/0"},
		{"2001:db8:2::/64", "2001:db8:2::/64"},
		{"2001:DB8:2::-2001:db8:2::9", "2001:db8:2::-2001:db8:2::9"},
		{"::/0 TCP", "::/0 tcp"},
		{"10.0.0.0/8 any", "10.0.0.0/8"},
		{"10.0.0.0/8 0", "10.0.0.0/8"},
		{"10.0.0.0/8 6/80", "10.0.0.0/8 tcp/80"},
		{"10.0.0.0/8 gre", "10.0.0.0/8 gre"},
		{"10.0.0.0/8 200", "10.0.0.0/8 200"},
		{"10.0.0.0/8 gre/opaque", "10.0.0.0/8 gre/opaque"},
		{"10.0.0.0/8 tcp/0-65535", "10.0.0.0/8 tcp"},
		{"10.0.0.0/8 tcp/any", "10.0.0.0/8 tcp"},
		{"10.0.0.0/8 tcp/opaque", "10.0.0.0/8 tcp/opaque"},
		{"10.0.0.0/8 sctp/5060", "10.0.0.0/8 sctp/5060"},
		{"10.0.0.0/8 icmp", "10.0.0.0/8 icmp"},
		{"10.0.0.0/8 icmp/8", "10.0.0.0/8 icmp/8"},
		{"10.0.0.0/8 icmp/8.0", "10.0.0.0/8 icmp/8.0"},
		{"10.0.0.0/8 icmp/3.0-3.4", "10.0.0.0/8 icmp/3.0-3.4"},
		{"10.0.0.0/8 icmp/8.0-8.255", "10.0.0.0/8 icmp/8"},
		{"2001:db8::/32 icmpv6/128-129", "2001:db8::/32 ipv6-icmp/128-129"},
		{"2001:db8::/32 58/128", "2001:db8::/32 ipv6-icmp/128"},
		{"2001:db8::/32 ipv6-mh/5", "2001:db8::/32 ipv6-mh/5"},
		{"2001:db8::/32 mh/5.0-5.255", "2001:db8::/32 ipv6-mh/5.0-5.255"},
	} {
		s, err := ParseSelector(c.text)
		if err != nil {
			t.Errorf("ParseSelector(%q): %v", c.text, err)
			continue
		}
		if got := s.String(); got != c.canonical || !s.Valid() {
			t.Errorf("ParseSelector(%q) = %s, valid %v; want %s", c.text, got, s.Valid(), c.canonical)
		}
	}
}

func TestParseSelectorNumbers(t *testing.T) {
	s := mustParse(t, "10.4.0.0/24 icmp/8")
	if s.StartPort != 8<<8 || s.EndPort != 8<<8|255 {
		t.Errorf("icmp/8 is %#x to %#x", s.StartPort, s.EndPort)
	}
	// RFC 7296, Section 3.13.1: the "least significant eight bits set to zero", in both.
	s = mustParse(t, "2001:db8::/32 mh/5")
	if s.StartPort != 5<<8 || s.EndPort != 5<<8 {
		t.Errorf("mh/5 is %#x to %#x", s.StartPort, s.EndPort)
	}
	s = mustParse(t, "10.4.0.0/24 tcp/opaque")
	if s.StartPort != 65535 || s.EndPort != 0 {
		t.Errorf("opaque is %d to %d", s.StartPort, s.EndPort)
	}
}

func TestParseSelectorErrorsNameTheRemedy(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "give a network"},
		{"10.0.0.0/8 tcp 80", "more than two parts"},
		{"10.1.0.5/16", "use 10.1.0.0/16 for the network or 10.1.0.5"},
		{"10.1.0.0/33", "is not a network"},
		{"::ffff:10.0.0.0/104", "use 10.0.0.0"},
		{"::ffff:10.0.0.1", "use 10.0.0.1"},
		{"fe80::1%eth0", "use fe80::1"},
		{"host.example.com", "not an IP address"},
		{"a-b", "not an IP address"},
		{"10.0.0.1-b", "not an IP address"},
		{"10.0.0.9-10.0.0.1", "use 10.0.0.1-10.0.0.9"},
		{"10.0.0.9-2001:db8::", "two ranges"},
		{"10.0.0.0/8 tpc/80", "is not a protocol"},
		{"10.0.0.0/8 256", "is not a protocol"},
		{"10.0.0.0/8 any/80", "use tcp/80 or udp/80"},
		{"10.0.0.0/8 gre/1", "use gre alone"},
		{"10.0.0.0/8 tcp/65536", "0 to 65535"},
		{"10.0.0.0/8 tcp/", "0 to 65535"},
		{"10.0.0.0/8 tcp/80-", "0 to 65535"},
		{"10.0.0.0/8 tcp/90-80", "use tcp/80-90"},
		{"10.0.0.0/8 icmp/256", "bad type"},
		{"10.0.0.0/8 icmp/8.256", "bad type"},
		{"10.0.0.0/8 icmpv6/128", "use icmp"},
		{"2001:db8::/32 icmp/8", "use icmpv6"},
	} {
		_, err := ParseSelector(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseSelector(%q) = %v, want %q in it", c.text, err, c.want)
		}
	}
}

func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{"10.1.0.0/16", "10.4.0.1-10.4.0.77 udp/1024-2047", "2001:db8::/32 icmpv6/128", "10.0.0.0/8 tcp/opaque", "::1 mh/5.1-6.2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			return
		}
		if !s.Valid() {
			t.Fatalf("ParseSelector(%q) = %+v, which is not valid", text, s)
		}
		again, err := ParseSelector(s.String())
		if err != nil || again != s {
			t.Fatalf("%q: %+v became %q and %+v, %v", text, s, s, again, err)
		}
	})
}
