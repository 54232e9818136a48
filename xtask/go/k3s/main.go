// Command k3s finds an image by the mirrors in a registries.yaml, with the library with which K3s and RKE2 fetch
// their own images, and prints the digest of the image for linux/amd64. Arguments: the file, the image.
// A field that the library's types do not have is refused.
package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/rancher/wharfie/pkg/registries"
	"gopkg.in/yaml.v2"
)

func run(file, image string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, &registries.Registry{}); err != nil {
		return err
	}
	loaded, err := registries.GetPrivateRegistries(file)
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(image)
	if err != nil {
		return err
	}
	found, err := loaded.Image(ref)
	if err != nil {
		return err
	}
	digest, err := found.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: k3s FILE IMAGE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
