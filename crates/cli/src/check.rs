//! `eventflux check`: every mistake of every file, without connecting to anything.

use crate::args::CheckArgs;
use crate::context::context;
use crate::exit::Exit;
use crate::{files, output};

/// Checks the files and reports all that is wrong with them.
pub(crate) fn check(args: &CheckArgs) -> Exit {
    let inputs = match files::read_all(&args.files, &args.overrides) {
        Ok(inputs) => inputs,
        Err(exit) => return exit,
    };
    let (context, color) = (context(), output::has_color());
    let mut exit = Exit::Success;
    for (path, input) in args.files.iter().zip(inputs) {
        match eventflux_engine::check(input.source, &input.overrides, &context) {
            Ok(warnings) => {
                output::note(&warnings.render(color));
                if output::print(&format!("{}: ok\n", path.display())) != Exit::Success {
                    return Exit::PipelineFailed;
                }
            }
            Err(mistakes) => {
                output::note(&mistakes.render(color));
                exit = Exit::Usage;
            }
        }
    }
    exit
}
