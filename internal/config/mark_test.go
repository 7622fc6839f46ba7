package config

import "testing"

func TestBadMark(t *testing.T) {
	testBad(t, map[string]bad{
		"mark of no bit":     {withDaemon(`mark = "0x0/0x60"`), []string{`a.toml:2: daemon: mark = "0x0/0x60": the value has no bit, and so do all other packets; set one of the mask's, as in "0x20/0x60"`}},
		"mark past its mask": {withDaemon(`mark = "0x30/0x60"`), []string{`a.toml:2: daemon: mark = "0x30/0x60": the mask lacks the value's bits 0x10`}},
		"mark of digits":     {withDaemon(`mark = "32/96"`), []string{`a.toml:2: daemon: mark = "32/96" must be a value and a mask in hexadecimal, such as "0x20/0x60"`}},
		"mark without mask":  {withDaemon(`mark = "0x20"`), []string{`a.toml:2: daemon: mark = "0x20" must be a value and a mask in hexadecimal`}},
		"mark too long":      {withDaemon(`mark = "0x100000000/0x100000000"`), []string{`a.toml:2: daemon: mark = "0x100000000/0x100000000" must be`}},
		"named table":        {withDaemon(`route_table = 254`), []string{`a.toml:2: daemon: route_table = 254 belongs to the system or may have a name: choose 256 or higher`}},
		"negative table":     {withDaemon(`route_table = -1`), []string{`a.toml:2: daemon: route_table = -1 is out of range`}},
	})
}
