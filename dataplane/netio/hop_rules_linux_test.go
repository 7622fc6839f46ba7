package netio

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseRule(t *testing.T) {
	usual := [][]byte{attr(unix.FRA_PRIORITY, u32(70)), attr(unix.FRA_TABLE, u32(254)), attr(unix.FRA_SUPPRESS_PREFIXLEN, u32(1<<32-1)), attr(unix.FRA_PROTOCOL, []byte{2})}
	rule := func(header map[int]byte, attrs ...[]byte) []byte { return body(12, header, append(usual, attrs...)...) }
	for name, tt := range map[string]struct {
		body []byte
		want ruleAnswer
	}{
		"any packet":         {rule(nil), ruleAnswer{priority: 70}},
		"a mark":             {rule(map[int]byte{7: unix.FR_ACT_GOTO}, attr(unix.FRA_FWMARK, u32(5)), attr(unix.FRA_FWMASK, u32(7)), attr(unix.FRA_GOTO, u32(80))), ruleAnswer{priority: 70, mark: 5, mask: 7, to: 80}},
		"a target elsewhere": {rule(map[int]byte{7: unix.FR_ACT_GOTO, 8: unix.FIB_RULE_UNRESOLVED}, attr(unix.FRA_GOTO, u32(80))), ruleAnswer{priority: 70, to: 80, unreachable: true}},
		"protocol 50":        {rule(nil, attr(unix.FRA_IP_PROTO, []byte{50})), ruleAnswer{priority: 70, esp: true, more: true}},
		"another protocol":   {rule(nil, attr(unix.FRA_IP_PROTO, []byte{6})), ruleAnswer{priority: 70, more: true}},
		"a source":           {rule(map[int]byte{2: 24}), ruleAnswer{priority: 70, more: true}},
		"a destination":      {rule(map[int]byte{1: 24}), ruleAnswer{priority: 70, more: true}},
		"a TOS":              {rule(map[int]byte{3: 16}), ruleAnswer{priority: 70, more: true}},
		"the opposite":       {rule(map[int]byte{8: unix.FIB_RULE_INVERT}), ruleAnswer{priority: 70, more: true}},
		"a device":           {rule(nil, attr(unix.FRA_IIFNAME, []byte("nn0\x00"))), ruleAnswer{priority: 70, more: true}},
	} {
		if got, err := parseRule(tt.body); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := parseRule(make([]byte, 11)); err == nil {
		t.Error("half a header is a rule")
	}
}

// TestByProtocol: a rule for protocol 50 matters if packets with the mark may come to it.
func TestByProtocol(t *testing.T) {
	esp := ruleAnswer{priority: 50, esp: true, more: true}
	over := ruleAnswer{priority: 40, mark: 4, mask: 6, to: 60}
	with := func(r ruleAnswer, set func(*ruleAnswer)) ruleAnswer {
		set(&r)
		return r
	}
	for name, tt := range map[string]struct {
		rules []ruleAnswer
		want  bool
	}{
		"none":                          {[]ruleAnswer{{priority: 0}, over, {priority: 60}}, false},
		"one":                           {[]ruleAnswer{{priority: 0}, esp, {priority: 60}}, true},
		"one that is passed over":       {[]ruleAnswer{over, esp, {priority: 60}}, false},
		"one behind the target":         {[]ruleAnswer{over, {priority: 60}, with(esp, func(r *ruleAnswer) { r.priority = 60 })}, true},
		"passed over by others":         {[]ruleAnswer{with(over, func(r *ruleAnswer) { r.mark = 2 }), esp}, true},
		"passed over by some":           {[]ruleAnswer{with(over, func(r *ruleAnswer) { r.more = true }), esp}, true},
		"passed over to nowhere":        {[]ruleAnswer{with(over, func(r *ruleAnswer) { r.unreachable = true }), esp}, true},
		"the mark is not in the mask":   {[]ruleAnswer{with(over, func(r *ruleAnswer) { r.mark, r.mask = 5, 6 }), esp}, false},
		"one for everything but a mark": {[]ruleAnswer{with(esp, func(r *ruleAnswer) { r.mark, r.mask = 2, 6 })}, true}, // it may be the opposite
	} {
		if got := byProtocol(tt.rules, 4); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
