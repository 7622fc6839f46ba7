package guest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	pathpkg "path"
	"path/filepath"
	"regexp"
	"strings"
)

// Program adds a program of this host, under its path there, with the shared libraries that it
// names.
func (f *Files) Program(name string) error {
	found, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	source, err := filepath.EvalSymlinks(found)
	if err != nil {
		return err
	}
	if err := f.Host(found, source); err != nil {
		return err
	}
	return f.Libraries(source)
}

// Libraries adds the shared libraries that a program or a library names, and those that they name.
func (f *Files) Libraries(source string) error {
	text, err := exec.Command("ldd", source).CombinedOutput()
	if err != nil && !strings.Contains(string(text), "not a dynamic executable") {
		return fmt.Errorf("ldd %s: %w\n%s", source, err, text)
	}
	for _, path := range libraries(string(text)) {
		if err := f.Host(path, path); err != nil {
			return err
		}
	}
	return nil
}

var libraryPath = regexp.MustCompile(`(?m)^\s*(?:\S+ => )?(/\S+) \(0x`)

// libraries returns the paths in an answer of ldd.
func libraries(text string) []string {
	var out []string
	for _, m := range libraryPath.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// base adds what the first process needs: a shell, and the tool that loads the kernel's modules.
func (f *Files) base() error {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/etc", "/var/run", "/usr/lib"} {
		f.Folder(dir)
	}
	f.Link("/bin/sh", "busybox")
	f.Text("/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
	f.Text("/etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n")
	shell, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	if err := f.Host("/bin/busybox", shell); err != nil {
		return err
	}
	kmod, err := exec.LookPath("kmod")
	if err != nil {
		return err
	}
	if err := f.Program(kmod); err != nil {
		return err
	}
	for _, tool := range []string{"modprobe", "insmod", "lsmod", "rmmod"} {
		f.Link("/sbin/"+tool, kmod)
	}
	return nil
}

// moduleFolders are the folders of modules that a guest has: the network and what it uses. Of
// drivers/net there are its own files, and these folders.
var moduleFolders = []string{"net", "crypto", "lib", "arch", "drivers/net/bonding", "drivers/net/ppp", "drivers/net/slip", "drivers/net/vxlan", "drivers/net/ipvlan", "drivers/net/wireguard"}

// modules adds a kernel's modules for networks, if it has any.
func (f *Files) modules(k Kernel) error {
	if k.Modules == "" {
		return nil
	}
	return filepath.WalkDir(k.Modules, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(k.Modules, path)
		if err != nil || !wanted(filepath.ToSlash(name)) {
			return err
		}
		return f.Host("/lib/modules/"+k.Release+"/"+filepath.ToSlash(name), path)
	})
}

// wanted reports whether a guest has a file of the folder of modules.
func wanted(name string) bool {
	name, isModule := strings.CutPrefix(name, "kernel/")
	if !isModule {
		return strings.HasPrefix(name, "modules.")
	}
	for _, dir := range moduleFolders {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return filepath.ToSlash(filepath.Dir(name)) == "drivers/net"
}

// Tree adds a folder of this host at a path of the guest: its files, folders and links whose names
// below it are wanted. What else it holds, such as sockets, is left out.
func (f *Files) Tree(at, source string, wanted func(name string) bool) error {
	return filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if name != "." && !wanted(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return f.add(pathpkg.Join(at, name), path, d)
	})
}

// add adds a file, a folder or a link of this host.
func (f *Files) add(at, source string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		f.Folder(at)
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(source)
		if err != nil {
			return err
		}
		f.Link(at, target)
	case d.Type().IsRegular():
		return f.Host(at, source)
	}
	return nil
}
