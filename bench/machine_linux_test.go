package bench

import (
	"bufio"
	"strings"
	"testing"
)

func TestCPUInfo(t *testing.T) {
	for _, tt := range []struct{ text, name, flags string }{
		{"processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu aes avx2 xyz\n\nprocessor\t: 1\nmodel name\t: another\nflags: sha_ni\n", "A CPU @ 2 GHz", "aes avx2"},
		{"processor\t: 0\nFeatures\t: fp asimd aes pmull\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "0x41 0xd0c", "asimd aes pmull"},
	} {
		if name, flags := cpuInfo(bufio.NewScanner(strings.NewReader(tt.text))); name != tt.name || strings.Join(flags, " ") != tt.flags {
			t.Errorf("got %q, %q; want %q, %q", name, flags, tt.name, tt.flags)
		}
	}
}
