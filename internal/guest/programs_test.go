package guest

import (
	"slices"
	"testing"
)

func TestLibraries(t *testing.T) {
	text := "\tlinux-vdso.so.1 (0x00007ffd4a5f2000)\n" +
		"\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x00007f2c1a000000)\n" +
		"\tlibmissing.so.3 => not found\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f2c1a3c5000)\n"
	want := []string{"/lib/x86_64-linux-gnu/libnftables.so.1", "/lib64/ld-linux-x86-64.so.2"}
	if got := libraries(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWanted(t *testing.T) {
	for name, want := range map[string]bool{
		"modules.dep":                                  true,
		"build":                                        false,
		"kernel/net/netfilter/nf_tables.ko":            true,
		"kernel/net/sched/act_bpf.ko.xz":               true,
		"kernel/drivers/net/veth.ko":                   true,
		"kernel/drivers/net/ppp/ppp_generic.ko":        true,
		"kernel/drivers/net/ethernet/intel/igb/igb.ko": false,
		"kernel/drivers/gpu/drm/drm.ko":                false,
		"kernel/fs/ext4/ext4.ko":                       false,
		"kernel/netfoo/x.ko":                           false,
	} {
		if got := wanted(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
