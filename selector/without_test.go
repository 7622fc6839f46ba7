package selector

import (
	"fmt"
	"slices"
	"testing"
)

func TestWithout(t *testing.T) {
	for _, c := range []struct{ list, cut, want []string }{
		{[]string{"10.2.0.0/16"}, nil, []string{"10.2.0.0/16"}},
		{[]string{"10.2.0.0/16"}, []string{"10.2.0.0/16"}, nil},
		{[]string{"10.2.0.0/16"}, []string{"10.0.0.0/8"}, nil},
		{[]string{"10.2.0.0/16"}, []string{"10.3.0.0/16"}, []string{"10.2.0.0/16"}},
		{[]string{"10.2.0.0/16"}, []string{"10.2.0.0/17"}, []string{"10.2.128.0/17"}},
		{[]string{"10.2.0.0/16"}, []string{"10.2.128.0/17"}, []string{"10.2.0.0/17"}},
		{[]string{"10.2.0.0/16"}, []string{"10.2.1.0/24"}, []string{"10.2.0.0/24", "10.2.2.0-10.2.255.255"}},
		{[]string{"10.2.0.0/24", "2001:db8::/32"}, []string{"2001:db8::/32"}, []string{"10.2.0.0/24"}},
		{[]string{"10.2.0.0/24"}, []string{"10.2.0.0/24 tcp/80"}, []string{"10.2.0.0/24"}},
		{[]string{"10.2.0.0/24 tcp/80"}, []string{"10.2.0.0/24 tcp"}, nil},
		{[]string{"10.2.0.0/24 tcp/80"}, []string{"10.2.0.0/25"}, []string{"10.2.0.128/25 tcp/80"}},
		{[]string{"0.0.0.0/0"}, []string{"0.0.0.0/1", "192.0.0.0/2"}, []string{"128.0.0.0/2"}},
	} {
		list := mustParseAll(t, c.list...)
		if got, want := Without(list, mustParseAll(t, c.cut...)), mustParseAll(t, c.want...); !slices.Equal(got, want) {
			t.Errorf("%v without %v is %v, want %v", c.list, c.cut, got, want)
		}
		if !slices.Equal(list, mustParseAll(t, c.list...)) {
			t.Errorf("%v was changed to %v", c.list, list)
		}
	}
}

// TestWithoutIsBounded: what would not fit into a payload is not cut.
func TestWithoutIsBounded(t *testing.T) {
	var cut []string
	for i := range MaxSelectors + 50 {
		cut = append(cut, fmt.Sprintf("10.%d.%d.7/32", i>>8, i&255))
	}
	if got := Without(mustParseAll(t, "10.0.0.0/8"), mustParseAll(t, cut...)); len(got) > MaxSelectors {
		t.Errorf("%d selectors remain", len(got))
	}
}
