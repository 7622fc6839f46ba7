package config

import "culvert/tun/protect"

// A kind is the TOML type of a key's value.
type kind uint8

const (
	text   kind = iota
	number      // an integer
	list        // an array of text
	table
	tables // an array of tables
	textOrList
	decimal // a number with or without a fraction
)

func (k kind) String() string {
	return [...]string{`text in quotes`, `a number`, `a list of text, such as ["a", "b"]`, `a table`, `an array of tables`,
		`text in quotes or a list of text, such as ["a", "b"]`, `a number, such as 1.8`}[k]
}

// A key is one key that a table may contain.
type key struct {
	name string
	kind kind
	def  string // the default as the reference shows it; empty: none
}

// The tables of a file. docs/configuration.md is tested against them.
var (
	fileKeys = []key{
		{name: "daemon", kind: table},
		{name: "peer", kind: tables},
	}
	daemonKeys = []key{
		{name: "tun", kind: text, def: "culvert0"},
		{name: "control", kind: text, def: DefaultControl},
		{name: "state", kind: text, def: DefaultState},
		{name: "crash_tokens", kind: text, def: "auto"},
		{name: "key_log", kind: text},
		{name: "listen", kind: list, def: `["0.0.0.0", "::"]`},
		{name: "ike_port", kind: number, def: "500"},
		{name: "nat_port", kind: number, def: "4500"},
		{name: "ike_dscp", kind: number, def: "48"},
		{name: "workers", kind: number, def: "0"},
		{name: "spin_us", kind: number, def: "0"},
		{name: "mtu", kind: number, def: "0"},
		{name: "mtu_min", kind: number, def: "576"},
		{name: "offloads", kind: text, def: "auto"},
		{name: "fast_path", kind: text, def: "auto"},
		{name: "guard", kind: text, def: "auto"},
		{name: "bypass", kind: list},
		{name: "mark", kind: text, def: protect.DefaultMark.String()},
		{name: "route_table", kind: number, def: "0"},
		{name: "rule_priority", kind: number, def: "0"},
		{name: "log", kind: text, def: "info"},
		{name: "log_format", kind: text, def: "text"},
		{name: "metrics", kind: text},
		{name: "include", kind: text},
	}
	peerKeys = []key{
		{name: "name", kind: text},
		{name: "remote", kind: text},
		{name: "remote_ike_port", kind: number, def: "500"},
		{name: "remote_nat_port", kind: number, def: "4500"},
		{name: "local", kind: text},
		{name: "ike", kind: number, def: "2"},
		{name: "local_id", kind: text},
		{name: "remote_id", kind: text},
		{name: "psk", kind: textOrList},
		{name: "psk_file", kind: text},
		{name: "auth", kind: textOrList},
		{name: "remote_auth", kind: textOrList},
		{name: "cert", kind: textOrList},
		{name: "key", kind: textOrList},
		{name: "key_password", kind: text},
		{name: "key_password_file", kind: text},
		{name: "ca", kind: textOrList},
		{name: "remote_key", kind: textOrList},
		{name: "remote_eku", kind: text, def: "any"},
		{name: "crl", kind: textOrList},
		{name: "revocation", kind: text, def: "relaxed"},
		{name: "staple", kind: text, def: "auto"},
		{name: "ocsp", kind: textOrList},
		{name: "rsa_padding", kind: text, def: "pss"},
		{name: "rsa_sha1", kind: text, def: "refuse"},
		{name: "ike_proposals", kind: list},
		{name: "ike_lifetime", kind: text, def: "8h"},
		{name: "auth_lifetime", kind: text, def: "0s"},
		{name: "encap", kind: text, def: "auto"},
		{name: "dpd", kind: text, def: "30s"},
		{name: "dpd_action", kind: text, def: "restart"},
		{name: "retransmit", kind: table},
		{name: "retry", kind: table},
		{name: "fragment", kind: number, def: "1280"},
		{name: "per_cpu", kind: text, def: "auto"},
		{name: "childless", kind: text, def: "allow"},
		{name: "pfs", kind: text, def: "auto"},
		{name: "mtu", kind: number, def: "0"},
		{name: "priority", kind: number, def: "0"},
		{name: "max_parties", kind: number, def: "16384"},
		{name: "child", kind: tables},
	}
	childKeys = []key{
		{name: "name", kind: text},
		{name: "mode", kind: text, def: "tunnel"},
		{name: "local", kind: list},
		{name: "remote", kind: list},
		{name: "bypass", kind: list},
		{name: "routes", kind: textOrList, def: "auto"},
		{name: "proposals", kind: list},
		{name: "start", kind: text, def: "traffic"},
		{name: "narrow", kind: text, def: "traffic"},
		{name: "children", kind: text, def: "one"},
		{name: "lifetime", kind: table},
		{name: "replay_window", kind: number, def: "4096"},
		{name: "esn", kind: text, def: "auto"},
		{name: "manual", kind: table},
	}
	lifetimeKeys = []key{
		{name: "time", kind: text, def: "1h"},
		{name: "bytes", kind: text},
		{name: "packets", kind: number, def: "0"},
	}
	retransmitKeys = []key{
		{name: "first", kind: text, def: "1s"},
		{name: "factor", kind: decimal, def: "1.8"},
		{name: "tries", kind: number, def: "6"},
	}
	retryKeys = []key{
		{name: "first", kind: text, def: "2s"},
		{name: "max", kind: text, def: "1m"},
	}
	manualKeys = []key{
		{name: "spi_out", kind: text},
		{name: "key_out", kind: text},
		{name: "auth_key_out", kind: text},
		{name: "spi_in", kind: text},
		{name: "key_in", kind: text},
		{name: "auth_key_in", kind: text},
		{name: "cipher", kind: text},
	}
)

// DefaultControl is the default path of the control socket.
const DefaultControl = "/run/culvert/control.sock"

// DefaultState is the default path of the state directory.
const DefaultState = "/var/lib/culvert"

func names(keys []key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.name
	}
	return out
}

func find(keys []key, name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}
