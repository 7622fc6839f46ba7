package hostpolicy

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A program of a cgroup is found below it as well, each direction by itself.
func TestCgroupPrograms(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		t.Skip("no unified hierarchy can be mounted here: ", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	group := dir + "/culvert-test"
	if err := errors.Join(os.Mkdir(group, 0o700), os.Mkdir(group+"/below", 0o700)); err != nil {
		t.Skip("no cgroup can be made here: ", err)
	}
	defer os.Remove(group)
	defer os.Remove(group + "/below")
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupSKB, AttachType: ebpf.AttachCGroupInetEgress, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}})
	if err != nil {
		t.Skip("no programs of cgroups here: ", err)
	}
	defer p.Close()
	has := func(path string, kind ebpf.AttachType) bool {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return hasPrograms(f, kind)
	}
	if has(group, ebpf.AttachCGroupInetEgress) {
		t.Error("a new cgroup has programs")
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: group, Attach: ebpf.AttachCGroupInetEgress, Program: p})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range []string{group, group + "/below"} {
		if !has(path, ebpf.AttachCGroupInetEgress) || has(path, ebpf.AttachCGroupInetIngress) {
			t.Errorf("at %s the program for sent packets is not the only one", path)
		}
	}
	in, out := cgroupPrograms([]string{group + "/none", dir}, []byte("1:cpu:/\n0::/culvert-test/below\n"))
	if in != nil || !errors.Is(out, errCgroup) {
		t.Errorf("the reasons are %v and %v", in, out)
	}
}
