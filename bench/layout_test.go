package bench

import (
	"slices"
	"strings"
	"testing"
)

func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		layout Layout
		err    string
		cores  []int
		text   string
	}{
		{Layout{}, "", []int{0}, "link like a network card's"},
		{Layout{Link: LinkVeth, CoreList: "1, 4"}, "", []int{1, 4}, "veth as it is"},
		{Layout{Link: LinkNIC, Forwarded: true, Firewall: true, Peers: 100}, "", []int{0}, "link like a network card's, forwarded traffic, stateful packet filters, 100 tunnels"},
		{Layout{Link: "wire"}, `unknown link "wire"`, nil, ""},
		{Layout{Peers: -1}, "-peers must be between 1 and", nil, ""},
		{Layout{Peers: MaxPeers + 1}, "-peers must be between 1 and", nil, ""},
		{Layout{CoreList: "two"}, `"two" in -cores is not a number`, nil, ""},
		{Layout{CoreList: "0"}, `"0" in -cores is not a number`, nil, ""},
		{Layout{CoreList: "4,8"}, "this machine offers 4", nil, ""},
		{Layout{CoreList: "2,2"}, "names a number twice", nil, ""},
	} {
		err := tt.layout.check(4)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: %v, want %q", tt.layout, err, tt.err)
		}
		if err != nil {
			continue
		}
		if cores, _ := tt.layout.cores(4); !slices.Equal(cores, tt.cores) || tt.layout.String() != tt.text {
			t.Errorf("%+v: %v, %s", tt.layout, cores, &tt.layout)
		}
	}
}
