package keyfile

import (
	"strings"
	"testing"
)

// sshKeys are public keys as ssh-keygen wrote them, and what describe returns for them: the hashes
// are those that openssl computes of the converted keys.
var sshKeys = map[string]string{
	"Ed25519 (SHA-256 0766f268c283...)":     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbNVwTb0TkEGzHFnrS5Pd3b116DgfLMCxvGcgr2Oihr root@host\n",
	"ECDSA P-256 (SHA-256 e8a24169b9d7...)": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGPQd/00yCkvbvO4OLFrPcxR51XuP2gePHG6B5Xo6Jb0DL2N6m8J/FCYfm5DngWD398bS5bxiXuQGMxFUAhKfJA= me at home",
	"ECDSA P-384 (SHA-256 73e54504550b...)": "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBBltN+ex04JoCBPhOa8NFTSaAegBaD8nvuey7Qvks6VdkpVesMbxLx+o5yTQ/MICe1ISZ+LzQJhhwGcbXxUhnTnFhGZ37eQ8F6dimGikeOqeC5tilqJRfYfFZ9KGTTj7dQ==",
	"RSA-2048 (SHA-256 3d0c0d8674fd...)":    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQChMsPvcGrZfKHLQKxHeid+QIfJNS0lbI0oQm+5VqLbC4SC38IPBCM2n2yYn69MybWbTy1YW9ibHAfwmcRgckk9P8Lf41KalO4CGWIpk8dZphqDAqj6hvMQHk30/lkRrnf0enTvIpHX4gEiyEo36AKQJtDJZcoq9nsRGofihgt741q0tqwE//X0Qx6Ecgzjy+FL6kk4MzUclxW/t3YJBUn2+t248w9AkkegP01e72CPMgGA/FiQESkx4cSZJQVgxY1rpNlCwm4LLznAOYDB5F+exM8w9hP9j7JR2BZJIYHGvgzZ0xCFv2k3/bD48BXgDQsXOBTdg96BqnwdKdNnpIdH",
}

func TestParseSSH(t *testing.T) {
	for want, line := range sshKeys {
		pub, err := LoadPublicKey(write(t, "id.pub", []byte(line)))
		if err != nil {
			t.Errorf("%s: %v", want, err)
		} else if got := describe(pub); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSSHKeysThatAreRefused(t *testing.T) {
	ed := strings.Fields(sshKeys["Ed25519 (SHA-256 0766f268c283...)"])[1]
	for _, line := range []string{
		"ssh-ed25519",
		"ssh-ed25519 !",
		"ssh-rsa " + ed,
		"ssh-ed25519 " + ed[:len(ed)-4],
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA==", // no octets of a key
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
		"ssh-ed25519 " + ed + "\nssh-ed25519 " + ed,
		"ssh-dss AAAAB3NzaC1kc3MAAACBAL9tLrrMwQNsltjdM2PP+C0o7UqMcKL7",
	} {
		path := write(t, "id.pub", []byte(line))
		_, err := LoadPublicKey(path)
		wantError(t, err, path, errSSH.Error())
	}
}
