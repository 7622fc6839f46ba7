package ipsec

import "testing"

func TestPolicyName(t *testing.T) {
	for want, n := range map[string]PolicyName{
		"office/lan":                   {Peer: "office", Child: "lan"},
		"office#alice@example.com/lan": {Peer: "office", Party: "alice@example.com", Child: "lan"},
	} {
		if n.String() != want {
			t.Errorf("got %q, want %q", n.String(), want)
		}
	}
}
