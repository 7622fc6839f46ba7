package netlab

// InRoot returns the command line of a program of another system in a folder, with this host's
// devices and a /proc while it runs; an empty folder is this host. The devices may be mounts of
// their own, as in containers.
func InRoot(root, program string, args ...string) []string {
	if root == "" {
		return append([]string{program}, args...)
	}
	return append([]string{"unshare", "--mount", "sh", "-c", `mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$@"`, root, root, program}, args...)
}
