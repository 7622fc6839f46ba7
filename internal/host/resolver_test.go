package host

import (
	"fmt"
	"testing"
)

func TestResolver(t *testing.T) {
	const stub = "# comment\nnameserver 127.0.0.53\noptions edns0\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"asked directly":   {map[string]string{"etc/resolv.conf": "nameserver 9.9.9.9\nnameserver 2620:fe::fe\n", "run/systemd/resolve/resolv.conf": "nameserver 1.1.1.1\n"}, "{false []}"},
		"resolved":         {map[string]string{"etc/resolv.conf": stub, "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\nnameserver fe80::1%wan\nnameserver\nnameserver x\n"}, "{true [192.0.2.53 fe80::1]}"},
		"NetworkManager":   {map[string]string{"etc/resolv.conf": "nameserver ::1\n", "run/NetworkManager/no-stub-resolv.conf": "nameserver 192.0.2.54\n"}, "{true [192.0.2.54]}"},
		"dnsmasq":          {map[string]string{"etc/resolv.conf": "nameserver 127.0.0.1\n", "run/dnsmasq/resolv.conf": "nameserver 127.0.0.53\nnameserver 192.0.2.55\n"}, "{true [192.0.2.55]}"},
		"several":          {map[string]string{"etc/resolv.conf": stub, "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\n", "run/dnsmasq/resolv.conf": "nameserver 192.0.2.53\nnameserver 192.0.2.55\n"}, "{true [192.0.2.53 192.0.2.55]}"},
		"unknown upstream": {map[string]string{"etc/resolv.conf": stub}, "{true []}"},
		"no file":          {nil, "{true []}"}, // resolv.conf(5): the one on the local machine
	} {
		if got := fmt.Sprint(Resolver(tree(t, tt.files))); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
