package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian names a kernel: the newest that a meta-package of a suite stands for, such as
// linux-image-amd64 of bookworm. The suite's security updates count as well.
type Debian struct {
	Suite, Package string
}

// Kernel is a kernel on this host.
type Kernel struct {
	Release string // what `uname -r` prints there
	Image   string // the file to boot, or the program
	Modules string // the folder of its modules; empty: it has none
	// UserMode is whether Image is a program of this host, which no emulator runs.
	UserMode bool
}

// keyring has the keys of Debian's releases, older ones included.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirror has both archives.
const mirror = "http://deb.debian.org"

// Fetch returns a kernel out of the folder cache, where it gets it by apt if it is not there. apt
// has a state of its own there: nothing is installed, and the host's sources do not change. What
// apt prints goes to log. A kernel that is in the cache is not updated.
func Fetch(ctx context.Context, cache string, want Debian, log io.Writer) (Kernel, error) {
	dir, err := filepath.Abs(filepath.Join(cache, want.Suite+"-"+want.Package))
	if err != nil {
		return Kernel{}, err
	}
	root := filepath.Join(dir, "root")
	if k, err := kernelIn(root); err == nil {
		return k, nil
	}
	a := apt{dir: dir, log: log}
	deb, err := a.download(ctx, want)
	if err != nil {
		return Kernel{}, fmt.Errorf("%s of %s: %w", want.Package, want.Suite, err)
	}
	if err := unpack(ctx, deb, root); err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", deb, err)
	}
	return kernelIn(root)
}

// kernelIn returns the kernel of an unpacked package.
func kernelIn(root string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return Kernel{}, errors.Join(err, fmt.Errorf("%s has %d kernels", root, len(images)))
	}
	k := Kernel{Image: images[0], Release: strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")}
	k.Modules = filepath.Join(root, "lib", "modules", k.Release)
	_, err = os.Stat(filepath.Join(k.Modules, "modules.dep"))
	return k, err
}

// unpack unpacks a package of a kernel, and computes which module needs which. Nothing is at root
// before all of it is.
func unpack(ctx context.Context, deb, root string) error {
	part := root + ".part"
	if err := errors.Join(os.RemoveAll(root), os.RemoveAll(part)); err != nil {
		return err
	}
	if err := run(ctx, nil, "", "dpkg-deb", "-x", deb, part); err != nil {
		return err
	}
	releases, err := filepath.Glob(filepath.Join(part, "lib", "modules", "*"))
	if err != nil || len(releases) != 1 {
		return errors.Join(err, fmt.Errorf("it has modules of %d kernels", len(releases)))
	}
	if err := run(ctx, nil, "", "depmod", "-b", part, filepath.Base(releases[0])); err != nil {
		return err
	}
	return errors.Join(os.Rename(part, root), os.Remove(deb))
}

// apt is an apt with a state and sources of its own, in a folder.
type apt struct {
	dir string
	log io.Writer
}

// download returns the downloaded package that a meta-package depends on. apt checks its signature
// and goes on where an earlier download ended.
func (a apt) download(ctx context.Context, want Debian) (string, error) {
	if err := a.update(ctx, want.Suite); err != nil {
		return "", err
	}
	var answer bytes.Buffer
	if err := run(ctx, &answer, a.dir, "apt-cache", a.options("depends", want.Package)...); err != nil {
		return "", err
	}
	name := dependency(answer.String())
	if name == "" {
		return "", fmt.Errorf("it depends on no package:\n%s", answer.Bytes())
	}
	if err := run(ctx, a.log, a.dir, "apt-get", a.options("download", name)...); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, name+"_*.deb"))
	if err != nil || len(debs) == 0 {
		return "", errors.Join(err, fmt.Errorf("%s was not downloaded", name))
	}
	return debs[len(debs)-1], nil
}

// update makes the state and the sources of a suite, and reads their lists.
func (a apt) update(ctx context.Context, suite string) error {
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o755); err != nil {
			return err
		}
	}
	sources := fmt.Sprintf("deb [signed-by=%[1]s arch=amd64] %[2]s/debian %[3]s main\ndeb [signed-by=%[1]s arch=amd64] %[2]s/debian-security %[3]s-security main\n", keyring, mirror, suite)
	if err := errors.Join(os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(sources), 0o644), os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644)); err != nil {
		return err
	}
	return run(ctx, a.log, a.dir, "apt-get", a.options("update")...)
}

func (a apt) options(command ...string) []string {
	out := []string{"-q"}
	for _, o := range []string{
		"Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"), "Dir::Etc::sourceparts=/dev/null",
		"Dir::State=" + a.dir, "Dir::State::status=" + filepath.Join(a.dir, "status"), "Dir::Cache=" + a.dir,
		"APT::Architecture=amd64", "APT::Sandbox::User=root", "Acquire::Languages=none",
	} {
		out = append(out, "-o", o)
	}
	return append(out, command...)
}

// dependency returns the first package in an answer of `apt-cache depends`.
func dependency(text string) string {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			return name
		}
	}
	return ""
}

// run runs a program. Its output goes to out, or into the error.
func run(ctx context.Context, out io.Writer, dir, name string, args ...string) error {
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &text, &text
	if out != nil {
		cmd.Stdout = out
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, text.Bytes())
	}
	return nil
}
