package v2

import "path/filepath"

// ScopedPath returns where the host finds what the plugin calls s: below the
// plugin's propagated-mount if s is at or below the config's PropagatedMount,
// else below its rootfs. Symbolic links are followed as the plugin would follow
// them, so neither they nor dots in s lead elsewhere; what does not exist is
// taken as it is written. A path of endless links gives one that can't exist.
// Other mounts of the plugin are not looked through.
//
// The answer is about the moment: a plugin may plant a link afterwards. The
// call reads links, so it is as slow as the file system is. Without a Rootfs
// the plugin's tree is the host's.
func (p *Plugin) ScopedPath(s string) string {
	p.mu.RLock()
	rootfs, mountpoint := p.Rootfs, p.PluginObj.Config.PropagatedMount
	p.mu.RUnlock()

	view := tree{rootfs: rootfs}
	if mountpoint != "" && rootfs != "" {
		// The runtime mounts where links in the rootfs lead.
		point, _ := tree{rootfs: rootfs}.resolve(mountpoint)
		view.mounts = []mounted{{point: point, source: propagatedMount(rootfs)}}
	}
	place, _ := view.resolve(s)
	return view.onHost(place)
}

// propagatedMount returns the host's side of the propagated mount of the
// plugin whose rootfs is given.
func propagatedMount(rootfs string) string {
	return filepath.Join(filepath.Dir(rootfs), "propagated-mount")
}
