package config

import (
	"regexp"
	"slices"
	"strings"
)

// Words of other programs' configurations, so that an error about one names the key that it means.

// foreignKeys maps keys of WireGuard, strongSwan (swanctl.conf, ipsec.conf), libreswan and OpenIKED
// to ours, in the order in which they are tried: the first one that the table has is meant. They
// are in lower case, with an underscore for a hyphen.
var foreignKeys = map[string][]string{
	// WireGuard
	"endpoint": {"remote"}, "allowedips": {"remote"}, "privatekey": {"key"}, "publickey": {"remote_key"}, "presharedkey": {"psk"},
	"listenport": {"nat_port"}, "persistentkeepalive": {"dpd"}, "fwmark": {"mark"}, "table": {"route_table", "routes"},
	// swanctl.conf
	"remote_addrs": {"remote"}, "local_addrs": {"local"}, "remote_port": {"remote_ike_port"}, "remote_ts": {"remote"}, "local_ts": {"local"},
	"proposals": {"ike_proposals"}, "esp_proposals": {"proposals"}, "ah_proposals": {"proposals"}, "start_action": {"start"}, "secret": {"psk"},
	"rekey_time": {"ike_lifetime", "lifetime"}, "life_time": {"lifetime"}, "over_time": {"ike_lifetime"}, "reauth_time": {"auth_lifetime"}, "dpd_delay": {"dpd"}, "dpd_timeout": {"retransmit"},
	"fragmentation": {"fragment"}, "certs": {"cert"}, "cacerts": {"ca"}, "pubkeys": {"remote_key"}, "cacert": {"ca"}, "version": {"ike"}, "send_cert": {"cert"},
	"replay_window": {"replay_window"}, "remote_ip": {"remote"}, "reqid": {"name"}, "connections": {"peer"}, "children": {"child"}, "secrets": {"peer"}, "encap": {"encap"},
	// ipsec.conf and ipsec.secrets
	"left": {"local"}, "right": {"remote"}, "leftid": {"local_id"}, "rightid": {"remote_id"}, "leftsubnet": {"local", "child"}, "rightsubnet": {"remote", "child"},
	"leftsubnets": {"local", "child"}, "rightsubnets": {"remote", "child"}, "leftcert": {"cert"}, "rightca": {"ca"}, "leftauth": {"auth"}, "rightauth": {"remote_auth"}, "authby": {"auth"},
	"esp": {"proposals", "child"}, "phase2alg": {"proposals", "child"}, "ikev2": {"ike"}, "keyexchange": {"ike"}, "ikelifetime": {"ike_lifetime"}, "salifetime": {"lifetime", "child"}, "keylife": {"lifetime", "child"},
	"dpddelay": {"dpd"}, "dpdaction": {"dpd_action"}, "forceencaps": {"encap"}, "encapsulation": {"encap"}, "auto": {"start", "child"}, "conn": {"peer"}, "type": {"mode", "child"}, "rightsourceip": {"remote"},
	"interface": {"daemon"},
	// iked.conf
	"srcid": {"local_id"}, "dstid": {"remote_id"}, "ikesa": {"ike_proposals"}, "childsa": {"proposals", "child"}, "from": {"local"}, "to": {"remote"}, "ikelife": {"ike_lifetime"},
}

// foreignKey returns the key of a table that another program calls by a name; "" if there is none.
func foreignKey(name string, keys []key) string {
	for _, meant := range foreignKeys[strings.ReplaceAll(strings.ToLower(name), "-", "_")] {
		if _, ok := find(keys, meant); ok && meant != name {
			return meant
		}
	}
	return ""
}

// foreignValues maps words that other programs use as values to ours.
var foreignValues = map[string]string{
	"trap": "traffic", "route": "traffic", "ondemand": "traffic", "on-demand": "traffic", "start": "boot", "up": "boot", "add": "never", "none": "never", "ignore": "never",
	"hold": "trap", "yes": "always", "force": "always", "on": "always", "no": "never", "off": "never", "true": "always", "false": "never",
	"secret": "psk", "pubkey": "cert", "rsasig": "cert", "ecdsa": "cert", "any": "auto",
}

// foreignValue returns the one of words that another program calls by a value; "" if there is none.
func foreignValue(value string, words []string) string {
	if meant := foreignValues[strings.ToLower(value)]; slices.Contains(words, meant) {
		return meant
	}
	return ""
}

// bareText matches a line whose value is text that lacks its quotes: an address, a network or a
// name.
var bareText = regexp.MustCompile(`^\s*([A-Za-z_-]+)\s*=\s*([0-9A-Za-z*%@][0-9A-Za-z.:/*%@_-]*)\s*(#.*)?$`)

// unquoted returns the remedy for a line that TOML cannot read since its value lacks quotes; "" if
// that is not the cause.
func unquoted(line string) string {
	m := bareText.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	name, value := m[1], m[2]
	for _, secret := range []string{"psk", "key", "password", "secret"} {
		if strings.Contains(strings.ToLower(name), secret) {
			value = "..."
		}
	}
	return `text needs quotes: ` + name + ` = "` + value + `"`
}
