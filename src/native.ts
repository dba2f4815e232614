/** The native core. The only file that imports the generated binding; everything else takes it from here. */
export * from '#binding'
