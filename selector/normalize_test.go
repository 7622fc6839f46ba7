package selector

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"10.1.0.0/16", "10.1.0.0/16"}, []string{"10.1.0.0/16"}},
		{[]string{"10.1.0.5/32 tcp/80", "10.1.0.0/16"}, []string{"10.1.0.0/16"}},
		{[]string{"10.1.0.0/24", "10.1.1.0/24"}, []string{"10.1.0.0/23"}},
		{[]string{"10.1.1.0/24", "192.0.2.0/24", "10.1.0.0/24"}, []string{"10.1.0.0/23", "192.0.2.0/24"}},
		{[]string{"10.1.0.0/24 tcp/80", "10.1.0.0/24 tcp/81-90"}, []string{"10.1.0.0/24 tcp/80-90"}},
		{[]string{"10.1.0.0/24 tcp/0-80", "10.1.0.0/24 tcp/81-65535"}, []string{"10.1.0.0/24 tcp/0-80", "10.1.0.0/24 tcp/81-65535"}},
		{[]string{"10.1.0.0/24 tcp/80", "10.1.0.0/24 udp/81"}, []string{"10.1.0.0/24 tcp/80", "10.1.0.0/24 udp/81"}},
		{[]string{"10.1.0.0/24 tcp/opaque", "10.1.0.0/24 tcp/80"}, []string{"10.1.0.0/24 tcp/opaque", "10.1.0.0/24 tcp/80"}},
		{[]string{"0.0.0.0/1", "128.0.0.0/1", "::/0"}, []string{"0.0.0.0/0", "::/0"}},
		{[]string{"255.255.255.255", "::"}, []string{"255.255.255.255/32", "::/128"}},
	} {
		if got := Normalize(mustParseAll(t, c.in...)); !slices.Equal(texts(got), c.want) {
			t.Errorf("Normalize(%v) = %v, want %v", c.in, texts(got), c.want)
		}
	}
	r := rand.New(rand.NewPCG(31, 31))
	for range 1000 {
		list := validSelectors(r)
		if got := Normalize(list); len(got) > len(list) || !Equal(got, list) {
			t.Fatalf("Normalize(%v) = %v", list, got)
		}
	}
}

// A selector that another covers by one address and one port is dropped.
func TestNormalizeAtTheEdges(t *testing.T) {
	for _, list := range [][]string{
		{"10.0.0.0/8 tcp/1-5", "10.255.255.255 tcp/5"},
		{"10.0.0.7 udp/9", "10.0.0.7-10.1.0.0 udp/9-12"},
		{"10.0.0.0/8 tcp/1-5", "11.0.0.0/8 tcp/7", "10.3.0.0/16 tcp/5"},
	} {
		got := Normalize(mustParseAll(t, list...))
		if len(got) != len(list)-1 || !Equal(got, mustParseAll(t, list...)) {
			t.Errorf("%v: %v", list, got)
		}
	}
}
