package guest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
)

// Files are the files of a guest, by their paths there. The last of a path counts.
type Files struct {
	entries map[string]entry
}

// entry is a file, a folder or a symbolic link.
type entry struct {
	mode   fs.FileMode
	source string // on this host, of a file; the rest have text
	text   string // or the target of a link
}

// NewFiles returns a guest without files.
func NewFiles() *Files { return &Files{entries: map[string]entry{}} }

func (f *Files) clone() *Files { return &Files{entries: maps.Clone(f.entries)} }

// Text adds a file with a text.
func (f *Files) Text(at string, mode fs.FileMode, text string) {
	f.entries[path.Clean(at)] = entry{mode: mode.Perm(), text: text}
}

// Host adds a file of this host, with its permissions. It is read when a guest is booted.
func (f *Files) Host(at, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", source)
	}
	f.entries[path.Clean(at)] = entry{mode: info.Mode().Perm(), source: source}
	return nil
}

// Link adds a symbolic link.
func (f *Files) Link(at, target string) {
	f.entries[path.Clean(at)] = entry{mode: fs.ModeSymlink | 0o777, text: target}
}

// Folder adds an empty folder. Those that lead to a file need not be added.
func (f *Files) Folder(at string) { f.entries[path.Clean(at)] = entry{mode: fs.ModeDir | 0o755} }

// write writes the files as an archive that the kernel unpacks: cpio's format newc.
func (f *Files) write(to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<20)
	whole := f.clone()
	for at := range f.entries {
		for dir := path.Dir(at); dir != "/" && dir != "."; dir = path.Dir(dir) {
			if _, ok := whole.entries[dir]; !ok {
				whole.Folder(dir)
			}
		}
	}
	for i, at := range slices.Sorted(maps.Keys(whole.entries)) {
		if err := whole.entries[at].write(w, i+1, at[1:]); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return errors.Join(member(w, 0, 0, "TRAILER!!!", 0, bytes.NewReader(nil)), w.Flush())
}

// Kinds of files in the format.
const (
	kindFile   = 0o100000
	kindFolder = 0o040000
	kindLink   = 0o120000
)

func (e entry) write(w io.Writer, number int, name string) error {
	perm := uint32(e.mode.Perm())
	switch {
	case e.mode.IsDir():
		return member(w, number, kindFolder|perm, name, 0, bytes.NewReader(nil))
	case e.mode&fs.ModeSymlink != 0:
		return member(w, number, kindLink|perm, name, int64(len(e.text)), bytes.NewReader([]byte(e.text)))
	case e.source == "":
		return member(w, number, kindFile|perm, name, int64(len(e.text)), bytes.NewReader([]byte(e.text)))
	}
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return member(w, number, kindFile|perm, name, info.Size(), f)
}

// member writes one member: a header of hexadecimal numbers, the name and the text, each padded to
// 4 octets.
func member(w io.Writer, number int, mode uint32, name string, size int64, text io.Reader) error {
	if size > 0xffffffff {
		return errors.New("too large for a guest")
	}
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	if _, err := io.WriteString(w, head+padding(int64(len(head)))); err != nil {
		return err
	}
	if n, err := io.Copy(w, text); err != nil {
		return err
	} else if n != size {
		return fmt.Errorf("its size changed from %d to %d", size, n)
	}
	_, err := io.WriteString(w, padding(size))
	return err
}

func padding(n int64) string { return "\x00\x00\x00"[:(4-n%4)%4] }
