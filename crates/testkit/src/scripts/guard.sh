# Outlives the test to clean up after it, however it ends. Arguments: the bed's folder.
#
# Standard input is a pipe whose only other end is in the test: it closes when the test is over, panics
# or is killed. The lock tells `testbed clean` that the bed is in use.
bed_dir=$1
trap '' HUP INT TERM
exec 9>"$bed_dir/lock"
flock -n 9 || exit 1
echo guarding
exec >/dev/null
cat >/dev/null
exec sh "$bed_dir/sweep.sh" "$bed_dir"
