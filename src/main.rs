//! Arguments → cli → exit status.

fn main() -> std::process::ExitCode {
    sfexport::cli::main()
}
