module github.com/dovetailhq/plugin/compat/dockerd

go 1.25.0
