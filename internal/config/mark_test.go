package config

import "testing"

func TestBadMark(t *testing.T) {
	testBad(t, map[string]bad{
		"mark of no bit":     {withDaemon(`mark = "0x0/0x60"`), []string{`a.toml:2: daemon: mark = "0x0/0x60" has the value 0, like every packet without a mark; set one of the mask's bits in it, for example "0x20/0x60"`}},
		"mark past its mask": {withDaemon(`mark = "0x30/0x60"`), []string{`a.toml:2: daemon: mark = "0x30/0x60": the value's bits 0x10 are not in the mask; use a mask that includes the value`}},
		"mark of digits":     {withDaemon(`mark = "32/96"`), []string{`a.toml:2: daemon: mark = "32/96" is not a value and a mask in hexadecimal; use for example "0x20/0x60"`}},
		"mark without mask":  {withDaemon(`mark = "0x20"`), []string{`a.toml:2: daemon: mark = "0x20" is not a value and a mask in hexadecimal`}},
		"mark too long":      {withDaemon(`mark = "0x100000000/0x100000000"`), []string{`a.toml:2: daemon: mark = "0x100000000/0x100000000" is not a value and a mask`}},
		"named table":        {withDaemon(`route_table = 254`), []string{`a.toml:2: daemon: route_table = 254 is in the range of the system's and named tables; use 256 or higher`}},
		"negative table":     {withDaemon(`route_table = -1`), []string{`a.toml:2: daemon: route_table = -1 is out of range`}},
	})
}
